//! Receives what an Alertmanager sends, on port 9099 of the loopback, and writes each body as one line to standard output.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::{
    io::{BufRead, BufReader, Read, Result, Write},
    net::{TcpListener, TcpStream},
};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:9099")?;
    println!("listening");
    for stream in listener.incoming() {
        println!("{}", body(&stream?)?);
    }
    Ok(())
}

/// Alertmanager writes JSON without line breaks, and says how long it is.
fn body(mut stream: &TcpStream) -> Result<String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {} // the request line
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(body.trim().to_owned())
}
