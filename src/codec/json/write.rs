//! JSON text, written straight to where it goes.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use serde::Serialize;

/// An object that is being written.
pub struct Members<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Members<'a> {
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    pub fn close(self) {
        self.out.push(b'}');
    }

    /// A member, whose value the caller appends.
    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        append(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A member whose name is a number.
    pub fn numbered(&mut self, number: u64, value: impl Serialize) {
        self.separate();
        self.out.push(b'"');
        append(self.out, number);
        self.out.extend_from_slice(b"\":");
        append(self.out, value);
    }

    /// A member that is a number, a string, a boolean, or an array of them.
    pub fn value(&mut self, name: &str, value: impl Serialize) {
        append(self.member(name), value);
    }

    /// An enum's name in lower case.
    pub fn word(&mut self, name: &str, enum_name: &str) {
        let out = self.member(name);
        out.push(b'"');
        out.extend(enum_name.bytes().map(|byte| byte.to_ascii_lowercase()));
        out.push(b'"');
    }

    /// Thousandths of a unit as a number of units.
    pub fn thousandths(&mut self, name: &str, thousandths: u64) {
        let out = self.member(name);
        append(out, thousandths / 1000);
        let mut rest = thousandths % 1000;
        if rest > 0 {
            out.push(b'.');
        }
        while rest > 0 {
            out.push(b'0' + (rest / 100) as u8);
            rest = rest % 100 * 10;
        }
    }

    pub fn base64(&mut self, name: &str, alphabet: &GeneralPurpose, bytes: &[u8]) {
        let out = self.member(name);
        out.push(b'"');
        let start = out.len();
        // Four characters for three bytes that have begun.
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let length = alphabet
            .encode_slice(bytes, &mut out[start..])
            .expect("there is room for it");
        out.truncate(start + length);
        out.push(b'"');
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }
}

/// An array that is being written.
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Array<'a> {
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        Self {
            out,
            is_empty: true,
        }
    }

    pub fn close(self) {
        self.out.push(b']');
    }

    /// An element, whose value the caller appends.
    pub fn element(&mut self) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out
    }
}

fn append(out: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(out, &value).expect("a Vec takes it, and it has a form in JSON");
}
