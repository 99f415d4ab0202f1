//! Printing. A reader that goes away, as `head` does, is no error: what was asked for was given.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Failure;
use crate::shown::shown;

/// Prints to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints bytes to standard output.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Infrastructure(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(()),
    }
}

/// Whether standard error is for tools: JSON, a value a line.
static FOR_TOOLS: AtomicBool = AtomicBool::new(false);

/// From now on all that is said is JSON: `{"event":"message","text":...}`, among the events of an experiment.
pub fn speak_json() {
    FOR_TOOLS.store(true, Ordering::Relaxed);
}

/// Says something on standard error, without what may be a password or steer the terminal; whether anybody hears it does not matter.
pub fn say(text: &str) {
    say_painted(&shown(text));
}

/// Says what has been made fit to be shown, and may have colours.
pub fn say_painted(text: &str) {
    match FOR_TOOLS.load(Ordering::Relaxed) {
        true => say_json(&serde_json::json!({ "event": "message", "text": text })),
        false => line(text),
    }
}

/// Says a value for tools.
pub fn say_json(value: &serde_json::Value) {
    line(&value.to_string());
}

fn line(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
