//! Datagrams to Unix sockets, which Node cannot send: what systemd is told by.

use std::{io, os::unix::net::UnixDatagram, time::Duration};

use millrace_core::error::{Code, Error};
use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::job::Job;

/// How long a receiver may leave its queue full.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends `message` to the socket at the path `address`, or, where that begins with `@`, of the
/// abstract name behind it.
#[napi(ts_return_type = "Promise<void>")]
pub fn send_unix_datagram(address: String, message: String) -> AsyncTask<Job<()>> {
    Job::start(move || {
        send(&address, message.as_bytes())
            .map_err(|error| Error::new(Code::UnknownServerError, format!("{address}: {error}")))
    })
}

fn send(address: &str, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    let sent = match address.strip_prefix('@') {
        Some(name) => send_to_abstract(&socket, name, message)?,
        None => socket.send_to(message, address)?,
    };
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(target_os = "linux")]
fn send_to_abstract(socket: &UnixDatagram, name: &str, message: &[u8]) -> io::Result<usize> {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    socket.send_to_addr(message, &SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn send_to_abstract(_socket: &UnixDatagram, _name: &str, _message: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
