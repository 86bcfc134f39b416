//! What went wrong in a log without anybody having asked for it, for whoever tells people.

use parking_lot::Mutex;

/// Warnings remembered until somebody takes them; further ones are only counted.
const WARNINGS_MAX: usize = 1000;

/// What is to be told: partitions or paths, and what is wrong there.
#[derive(Default)]
pub struct Warnings(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    entries: Vec<(String, String)>,
    left_out: u64,
}

impl Warnings {
    pub(crate) fn add(&self, subject: &str, detail: String) {
        let mut waiting = self.0.lock();
        if waiting.entries.len() < WARNINGS_MAX {
            waiting.entries.push((subject.to_owned(), detail));
        } else {
            waiting.left_out += 1;
        }
    }

    /// The warnings since the last call: partitions or paths and what is wrong there, for people.
    pub fn take(&self) -> Vec<(String, String)> {
        let Waiting { mut entries, left_out } = std::mem::take(&mut *self.0.lock());
        if left_out > 0 {
            let detail = format!("{left_out} more warnings than are remembered");
            entries.push(("storage".to_owned(), detail));
        }
        entries
    }
}
