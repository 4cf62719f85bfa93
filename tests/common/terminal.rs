//! Programs as people use them: in a terminal of their own, whose screen is looked at, or line by line.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::common::PATIENCE;

/// What a program has written, taken in by a thread.
type Shared<T> = Arc<Mutex<T>>;

fn locked<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `look` gives something; if it never does, fails with what `found` tells.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>, found: impl Fn() -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "{what} does not happen:\n{}",
            found()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end_of(child: &mut Child) -> ExitStatus {
    let ended = || child.try_wait().expect("it is our child");
    until("its end", ended, String::new)
}

fn cells(count: u16) -> NonZero<u16> {
    count.try_into().expect("a screen has room")
}

/// A program in a terminal. It is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Shared<vt100::Parser>,
}

impl Terminal {
    pub fn start(command: &mut Command, rows: u16, columns: u16) -> Self {
        let (mut master, mut slave) = (0, 0);
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let no_name = std::ptr::null_mut();
        // SAFETY: the pointers are to values that live until the call returns, or null.
        let opened =
            unsafe { libc::openpty(&mut master, &mut slave, no_name, std::ptr::null(), &size) };
        assert_eq!(opened, 0, "there is a terminal to be had");
        // SAFETY: both were just opened, and nobody else has them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        // SAFETY: it is our own descriptor. Children that are started later shall not have it.
        let closes = unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        assert_eq!(closes, 0, "a descriptor takes this flag");
        let end = || slave.try_clone().expect("there is another descriptor");
        command.stdin(end()).stdout(end()).stderr(end());
        command.env("TERM", "xterm-256color");
        // SAFETY: both are system calls that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().expect("the program runs");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(
            cells(rows),
            cells(columns),
            0,
        )));
        let mut output = master.try_clone().expect("there is another descriptor");
        let written = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when the last program closes the terminal.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                locked(&written).process(&bytes[..read]);
            }
        });
        Self {
            child,
            keyboard: master,
            screen,
        }
    }

    /// The window becomes so large.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let (rows, columns) = (cells(rows), cells(columns));
        locked(&self.screen).screen_mut().set_size(rows, columns);
        // SAFETY: the pointer is to a value that lives until the call returns.
        let is_set = unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(is_set, 0, "a terminal has a size");
    }

    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        // SAFETY: it sends a signal to our own child, which has not been waited for.
        unsafe { libc::kill(pid, signal) };
    }

    /// Whether it is as a shell leaves it: its lines are edited and echoed, its cursor and its main screen are to be seen.
    pub fn is_given_back(&self) -> bool {
        let mut modes = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the pointer is to memory that lives until the call returns.
        let read = unsafe { libc::tcgetattr(self.keyboard.as_raw_fd(), modes.as_mut_ptr()) };
        assert_eq!(read, 0, "a terminal has modes");
        // SAFETY: they were just read.
        let modes = unsafe { modes.assume_init() };
        let screen = locked(&self.screen);
        let screen = screen.screen();
        let wanted = libc::ICANON | libc::ECHO;
        modes.c_lflag & wanted == wanted && !screen.alternate_screen() && !screen.hide_cursor()
    }

    /// Waits until it is so: what a program wrote at its end may come a moment after that.
    pub fn until_given_back(&self) {
        until(
            "the terminal is given back",
            || self.is_given_back().then_some(()),
            || self.text(),
        );
    }

    /// As the keyboard sends it: `\r` is Enter.
    pub fn press(&mut self, keys: &str) {
        let taken = self.keyboard.write_all(keys.as_bytes());
        taken.expect("the terminal takes keys");
    }

    /// What stands on the screen, line by line.
    pub fn text(&self) -> String {
        let text = locked(&self.screen).screen().contents();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// Waits until `look` finds on the screen what it looks for.
    pub fn until<T>(&self, what: &str, look: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        until(what, || look(locked(&self.screen).screen()), || self.text())
    }

    /// Waits until these words stand on the screen.
    pub fn until_shown(&self, words: &str) {
        until(
            words,
            || self.text().contains(words).then_some(()),
            || self.text(),
        );
    }

    pub fn wait(&mut self) -> ExitStatus {
        end_of(&mut self.child)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that reads lines and writes lines. It is killed when this is dropped.
pub struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    output: Shared<String>,
}

impl Conversation {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        collect(stdout, &output);
        collect(stderr, &output);
        Self {
            input: child.stdin.take(),
            child,
            output,
        }
    }

    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it was not ended");
        writeln!(input, "{line}").expect("the program reads");
    }

    /// Nothing more is said.
    pub fn end(&mut self) {
        self.input = None;
    }

    pub fn output(&self) -> String {
        locked(&self.output).clone()
    }

    /// Waits until the program has written these words.
    pub fn until_written(&self, words: &str) {
        let look = || self.output().contains(words).then_some(());
        until(words, look, || self.output());
    }

    pub fn wait(&mut self) -> ExitStatus {
        end_of(&mut self.child)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, into: &Shared<String>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut written = locked(&into);
            written.push_str(&line);
            written.push('\n');
        }
    });
}
