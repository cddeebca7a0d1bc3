//! TCP ports of this machine for servers that cannot draw their own.

/// A port that was free just now, outside the range from which the system draws those of clients.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(15_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
