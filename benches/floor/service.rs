//! A server that keeps what it is sent, and nothing else: it reads what is ready, appends all of it, syncs once, and
//! sends each operation to whoever wrote it and to one reader. No protocol, no order, no documents; what every relay
//! with a socket for each client has to do for durable operations.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::append::Append;
use crate::loopback::{Readiness, pairs};
use crate::processor::{pin, used};

pub struct Served {
    pub operations_per_second: f64,
    /// The server's, in microseconds.
    pub cpu_us_per_operation: f64,
}

/// So many writers, each with one operation on its way, over one socket for each writer and one for each reader. Server
/// and clients have a core each, if there are so many.
pub fn serve(
    writers: usize,
    bytes: usize,
    cores: &[usize],
    file: &mut Append,
    period: Duration,
) -> Served {
    let (clients, mut server) = pairs(2 * writers);
    let client_cores = cores.to_vec();
    let clients = thread::spawn(move || {
        pin(&client_cores, 1);
        write_and_read(clients, writers, &vec![7; bytes]);
    });
    pin(cores, 0);
    let mut readiness = Readiness::new(&server[..writers]);
    let (mut batch, mut from) = (Vec::new(), Vec::new());
    let (mut started, mut operations) = (None, 0_usize);
    let (elapsed, cpu) = loop {
        for index in readiness.wait() {
            let start = batch.len();
            batch.resize(start + bytes, 0);
            let read = server[index].read_exact(&mut batch[start..]);
            read.expect("an operation comes at once");
            from.push(index);
        }
        file.append(&batch);
        for (operation, index) in batch.chunks_exact(bytes).zip(from.drain(..)) {
            for socket in [index, writers + index] {
                let sent = server[socket].write_all(operation);
                sent.expect("the client keeps up");
            }
            operations += 1;
        }
        batch.clear();
        // The first operation of each is sent before anybody waits.
        let (start, cpu) = *started.get_or_insert_with(|| {
            operations = 0;
            (Instant::now(), used())
        });
        if operations > 0 && start.elapsed() >= period {
            break (start.elapsed(), used() - cpu);
        }
    };
    drop(server);
    clients.join().expect("it reads to the end");
    Served {
        operations_per_second: operations as f64 / elapsed.as_secs_f64(),
        cpu_us_per_operation: cpu.as_secs_f64() * 1e6 / operations as f64,
    }
}

/// The first `writers` of the sockets send an operation whenever they have their last one back; the others read. Until the
/// server closes them.
fn write_and_read(mut sockets: Vec<TcpStream>, writers: usize, operation: &[u8]) {
    let mut readiness = Readiness::new(&sockets);
    for writer in &mut sockets[..writers] {
        writer.write_all(operation).expect("the server listens");
    }
    let mut scratch = vec![0; operation.len()];
    loop {
        for index in readiness.wait() {
            let socket = &mut sockets[index];
            let is_over = match socket.read(&mut scratch) {
                Ok(0) => true,
                Ok(_) if index < writers => socket.write_all(operation).is_err(),
                Ok(_) => false,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            if is_over {
                return;
            }
        }
    }
}
