//! A peer that puts everything off.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Answers CHECK with 431 and these words, as often as it is asked; returns its port. It ends with the
/// test's process.
pub(super) fn start(words: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream, words));
        }
    });
    port
}

fn serve(mut stream: &TcpStream, words: &str) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let _ = stream.write_all(b"200 busy.example ready\r\n");
    for line in lines {
        let answer = match line.split_once(' ') {
            _ if line == "CAPABILITIES" => "101 list\r\nVERSION 2\r\nIHAVE\r\nSTREAMING\r\n.\r\n".to_owned(),
            _ if line == "MODE STREAM" => "203 streaming\r\n".to_owned(),
            Some(("CHECK", id)) => format!("431 {id} {words}\r\n"),
            _ => return,
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
