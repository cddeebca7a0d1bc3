//! As much of a connection pooler as shows to a client.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// Passes everything on to the server at `port` and back, but tells clients a process id that is not the
/// backend's, as poolers do.
pub fn start(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || copy(from_client, to_server, false));
            std::thread::spawn(move || copy(server, client, true));
        }
    });
    own
}

fn copy(mut from: TcpStream, mut to: TcpStream, change_key: bool) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let key = buffer[..length].windows(5).position(|start| start == b"K\0\0\0\x0c");
        if let Some(at) = key.filter(|_| change_key) {
            buffer[at + 6] ^= 0x55;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
