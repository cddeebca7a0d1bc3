//! A TCP proxy on the loopback interface that does to connections what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to bytes that go one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Pass,
    /// Each piece arrives so much later.
    Delay(Duration),
    /// They are kept until the way is open again, as by TCP's own repetition after an outage. The sockets
    /// stay open, and neither side notices.
    Hold,
    /// They are lost. What was begun on such a connection never ends; its sockets stay open.
    Swallow,
}

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    rules: Mutex<Rules>,
    changed: Condvar,
}

struct Rules {
    to_server: Way,
    to_client: Way,
    refuse: bool,
    closed: bool,
    target: String,
    connections: Vec<TcpStream>,
    accepted: usize,
}

#[derive(Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// Passes connections on to a port of this machine.
    pub fn to(port: u16) -> Proxy {
        Proxy::to_address(format!("127.0.0.1:{port}"))
    }

    /// Passes connections on to `HOST:PORT`.
    pub fn to_address(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rules = Rules {
            to_server: Way::Pass,
            to_client: Way::Pass,
            refuse: false,
            closed: false,
            target,
            connections: Vec::new(),
            accepted: 0,
        };
        let state = Arc::new(State { rules: Mutex::new(rules), changed: Condvar::new() });
        let proxy = Proxy { port: listener.local_addr().unwrap().port(), state: Arc::clone(&state) };
        std::thread::spawn(move || state.serve(&listener));
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Both ways, for connections old and new.
    pub fn set(&self, way: Way) {
        self.set_ways(way, way);
    }

    pub fn set_ways(&self, to_server: Way, to_client: Way) {
        self.change(|rules| (rules.to_server, rules.to_client) = (to_server, to_client));
    }

    /// Ends every connection, with a reset.
    pub fn cut(&self) {
        self.change(|rules| {
            for connection in rules.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }

    /// New connections are closed at once, or served again.
    pub fn refuse(&self, refuse: bool) {
        self.change(|rules| rules.refuse = refuse);
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.state.rules.lock().unwrap().accepted
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state.rules.lock().unwrap());
        self.state.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.change(|rules| rules.closed = true);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(self: Arc<State>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            let mut rules = self.rules.lock().unwrap();
            if rules.closed {
                return;
            }
            rules.accepted += 1;
            if rules.refuse {
                continue;
            }
            let Ok(server) = TcpStream::connect(&rules.target) else { continue };
            for end in [&client, &server] {
                let _ = end.set_nodelay(true);
                rules.connections.push(end.try_clone().unwrap());
            }
            drop(rules);
            let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let (up, down) = (Arc::clone(&self), Arc::clone(&self));
            std::thread::spawn(move || up.pump(client, server, Direction::ToServer));
            std::thread::spawn(move || down.pump(ends.1, ends.0, Direction::ToClient));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let mut piece = [0; 16 * 1024];
        let mut lost = false;
        loop {
            let count = match from.read(&mut piece) {
                Ok(count) if count > 0 => count,
                _ => break,
            };
            let way = self.open_way(direction);
            if let Way::Delay(time) = way {
                std::thread::sleep(time);
            }
            lost |= way == Way::Swallow;
            if !lost && to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        // In an outage the end of a connection does not get through either.
        if !lost && self.open_way(direction) != Way::Swallow {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        }
    }

    /// The rule for this direction, once it is not [`Way::Hold`] any more.
    fn open_way(&self, direction: Direction) -> Way {
        let mut rules = self.rules.lock().unwrap();
        loop {
            let way = match direction {
                Direction::ToServer => rules.to_server,
                Direction::ToClient => rules.to_client,
            };
            if way != Way::Hold || rules.closed {
                return way;
            }
            rules = self.changed.wait(rules).unwrap();
        }
    }
}
