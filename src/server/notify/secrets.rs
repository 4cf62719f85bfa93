//! What notices are signed with, as the Standard Webhooks specification has it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// So many bytes are a secret that the specification allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const PREFIX: &str = "whsec_";
const FILE_BYTES_MAX: u64 = 16 * 1024;

pub struct Secrets {
    path: PathBuf,
    /// When the file was written that they are from.
    written_at: Option<SystemTime>,
    keys: Arc<Keys>,
}

/// In the order of their lines.
pub struct Keys(Vec<Vec<u8>>);

impl Secrets {
    /// # Errors
    ///
    /// What is wrong with the file, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let written_at = written_at(path);
        let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
        // Anything else could make whoever reads it wait.
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            return Err("it is no file of at most 16 KiB".to_owned());
        }
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(Self {
            path: path.to_owned(),
            written_at,
            keys: Arc::new(parse(&text)?),
        })
    }

    /// Reads the file again if it was written since.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), once for each time that it was written. What was read before is still good.
    pub fn refresh(&mut self) -> Result<bool, String> {
        let written_at = written_at(&self.path);
        if written_at == self.written_at {
            return Ok(false);
        }
        self.written_at = written_at;
        *self = Self::read(&self.path)?;
        Ok(true)
    }

    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }
}

impl Keys {
    /// The signatures of a message, one with each secret.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut signatures = String::new();
        for key in &self.0 {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
            mac.update(format!("{id}.{timestamp_s}.").as_bytes());
            mac.update(body);
            let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
            let gap = if signatures.is_empty() { "" } else { " " };
            let _ = write!(signatures, "{gap}v1,{signature}");
        }
        signatures
    }
}

fn written_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

fn parse(text: &str) -> Result<Keys, String> {
    let lines = (1..).zip(text.lines());
    let secrets = lines.filter(|(_, line)| !line.trim().is_empty());
    let keys: Vec<_> = secrets
        .map(|(number, line)| parse_line(line.trim()).map_err(|why| format!("line {number} {why}")))
        .collect::<Result<_, _>>()?;
    match keys.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(Keys(keys)),
    }
}

fn parse_line(line: &str) -> Result<Vec<u8>, &'static str> {
    let secret = line.strip_prefix(PREFIX);
    let secret = secret.ok_or("does not begin with \"whsec_\"")?;
    let key = BASE64_STANDARD.decode(secret);
    let key = key.map_err(|_| "is not base64 after \"whsec_\"")?;
    match SECRET_BYTES.contains(&key.len()) {
        true => Ok(key),
        false => Err("has a secret of fewer than 24 bytes or more than 64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_specification_s_example() {
        let keys = parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = keys.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let error = Secrets::read(Path::new("/dev/zero")).err().unwrap();
        assert_eq!(error, "it is no file of at most 16 KiB");
    }

    #[test]
    fn what_is_no_secret_is_named_by_its_line() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(parse(&format!("{good}\n\n  {good}\n")).unwrap().0.len(), 2);
        let table = [
            ("\n".to_owned(), "it is empty"),
            (format!("{good}\nsecret"), "line 2 does not begin with"),
            ("whsec_!".to_owned(), "line 1 is not base64"),
            ("whsec_c2hvcnQ=".to_owned(), "line 1 has a secret of fewer"),
        ];
        for (text, why) in table {
            let error = parse(&text).err().unwrap();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
