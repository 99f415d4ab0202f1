//! A server that answers at once, without looking at what it is asked: what is slow against it is the client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Listens, and serves every client on a thread of its own.
pub fn answer_at_once() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(port)
}

/// As much of the protocol as a client needs that prepares a statement without parameters, and runs it for ever.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    stream.set_nodelay(true)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut rest = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
    stream.read_exact(&mut rest)?;
    // AuthenticationOk, BackendKeyData, ReadyForQuery.
    stream.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x01")?;
    stream.write_all(READY)?;
    let mut buffer = Vec::with_capacity(4096);
    let mut scratch = [0; 4096];
    loop {
        let count = stream.read(&mut scratch)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&scratch[..count]);
        let mut answer = Vec::new();
        let mut at = 0;
        while let Some([tag, a, b, c, d]) = buffer.get(at..at + 5).and_then(|head| <[u8; 5]>::try_from(head).ok()) {
            let end = at + 1 + u32::from_be_bytes([a, b, c, d]) as usize;
            if buffer.len() < end {
                break;
            }
            match tag {
                b'P' => answer.extend_from_slice(b"1\0\0\0\x04"),
                b'D' => answer.extend_from_slice(b"t\0\0\0\x06\0\0n\0\0\0\x04"),
                b'B' => answer.extend_from_slice(b"2\0\0\0\x04"),
                b'E' => answer.extend_from_slice(b"C\0\0\0\x0dSELECT 0\0"),
                b'Q' => {
                    answer.extend_from_slice(b"C\0\0\0\x0dSELECT 0\0");
                    answer.extend_from_slice(READY);
                }
                b'S' => answer.extend_from_slice(READY),
                b'X' => return Ok(()),
                _ => {}
            }
            at = end;
        }
        buffer.drain(..at);
        stream.write_all(&answer)?;
    }
}
