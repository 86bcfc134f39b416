//! `format.json`: which format version a data directory has, and which cluster it belongs to.
//!
//! ```json
//! { "format_version": 2, "cluster_id": "dGhpcyBpcyBhIGNsdXN0ZXI", "raised_by": "0.1.0" }
//! ```
//! A directory has the first version until something is stored that code of that version would
//! read wrongly; then the version is raised, durably, before it is stored, and never before: until
//! then an earlier version of the program can serve the directory. `raised_by` is the version of
//! the program that raised it. The file is replaced as a whole, and nothing else is created in a
//! directory before it is there.
//!
//! | version | what raises to it |
//! |---|---|
//! | 1 | |
//! | 2 | the first compaction, or repair that cuts: holes that version 1 takes for damage |
//! | 3 | the first flush journal: records that versions before it would not find |

use std::{io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    env::{
        Env,
        transfer::{read_whole, replace_durably},
    },
    error::{Code, Error, Result},
};

/// Tells a data directory, and of which version.
pub const FORMAT_FILE: &str = "format.json";
/// The version of a new directory.
pub const FORMAT_VERSION_FIRST: u32 = 1;
/// The newest version that this code reads and writes; it refuses newer ones.
pub const FORMAT_VERSION_NEWEST: u32 = 3;
/// The version in which compacted logs have holes.
pub const FORMAT_VERSION_COMPACTED: u32 = 2;
/// The version in which a stop may leave records in a flush journal.
pub const FORMAT_VERSION_JOURNALED: u32 = 3;
/// A file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 64 << 10;
const CLUSTER_ID_CHARACTERS: usize = 22;
const CLUSTER_ID_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What `format.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The directory's version.
    pub format_version: u32,
    /// Names the cluster that the data belongs to: 16 bytes as Kafka writes them.
    pub cluster_id: String,
    /// The version of the program that raised the format; absent in the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_by: Option<String>,
}

impl Format {
    /// Reads the file of a data directory; `None` in one that has none and nothing else either.
    ///
    /// # Errors
    /// - [`Code::DataDirectoryNewer`] for a version that this code does not know.
    /// - [`Code::DataDamaged`] for a file that is not one of ours, or none where data is.
    /// - Any I/O error.
    pub fn load(env: &Env, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FORMAT_FILE);
        let failed = |error| Error::io(format_args!("opening {}", path.display()), &error);
        let Some(bytes) = read_whole(&*env.files, &path, FILE_BYTES_MAX).map_err(failed)? else {
            let entries = env.files.list(directory).map_err(failed)?;
            let others = [FORMAT_FILE, crate::metadata::FILE_NAME, super::directory::LOGS];
            let other = entries.iter().find(|entry| others.contains(&entry.name.as_str()));
            return match other {
                None => Ok(None),
                Some(entry) if entry.name == FORMAT_FILE => {
                    Err(damaged(&path, format_args!("it is {} bytes long", entry.bytes)))
                }
                Some(entry) => Err(damaged(
                    &path,
                    format_args!("it is not there, and {} beside it is", entry.name),
                )),
            };
        };
        let format = Self::parse(&bytes).map_err(|reason| damaged(&path, reason))?;
        if format.format_version > FORMAT_VERSION_NEWEST {
            return Err(format.too_new(directory));
        }
        Ok(Some(format))
    }

    /// Takes the bytes of a file apart, of whichever version.
    ///
    /// # Errors
    /// Why it is not one of ours.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let format: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if format.format_version < FORMAT_VERSION_FIRST {
            return Err(format!("there is no format {}", format.format_version));
        }
        let id = format.cluster_id.as_bytes();
        if id.len() != CLUSTER_ID_CHARACTERS
            || !id.iter().all(|character| CLUSTER_ID_ALPHABET.contains(character))
        {
            return Err("its cluster id is none".to_owned());
        }
        Ok(format)
    }

    /// The first version, for a cluster of its own.
    pub fn new(env: &Env) -> Self {
        let cluster_id = cluster_id(env);
        Self { format_version: FORMAT_VERSION_FIRST, cluster_id, raised_by: None }
    }

    /// Replaces the file of a data directory durably.
    ///
    /// # Errors
    /// Any I/O error: the file is then the old one or this one, whole.
    pub fn store(&self, env: &Env, directory: &Path) -> Result<()> {
        let path = directory.join(FORMAT_FILE);
        serde_json::to_vec(self)
            .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
            .and_then(|json| replace_durably(&*env.files, directory, FORMAT_FILE, &json))
            .map_err(|error| Error::io(format_args!("writing {}", path.display()), &error))
    }

    /// The same directory in a newer version, raised by this program.
    #[must_use]
    pub fn raised_to(&self, version: u32) -> Self {
        Self {
            format_version: version,
            cluster_id: self.cluster_id.clone(),
            raised_by: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    fn too_new(&self, directory: &Path) -> Error {
        let version = self.format_version;
        let by = self.raised_by.as_deref().map_or_else(
            || "a later version of Millrace".to_owned(),
            |release| format!("Millrace {release}"),
        );
        let detail = format!(
            "{} has format {version}, to which {by} raised it; this is Millrace {}, which knows \
             formats up to {FORMAT_VERSION_NEWEST}: start {by}, or go back as docs/operating.md \
             says under \"Upgrade and downgrade\"",
            directory.display(),
            env!("CARGO_PKG_VERSION"),
        );
        Error::new(Code::DataDirectoryNewer, detail)
    }
}

/// What to say of a file that cannot be believed: it is small enough to be written by hand.
fn damaged(path: &Path, reason: impl std::fmt::Display) -> Error {
    let detail = format!(
        "{}: {reason}; it tells the format of the data, which must not be guessed: put it back as \
         docs/operating.md says under \"Damage\"",
        path.display()
    );
    Error::new(Code::DataDamaged, detail)
}

/// A random id in Kafka's form: 16 bytes as 22 characters of URL-safe base64.
fn cluster_id(env: &Env) -> String {
    let mut bits = u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64());
    let mut text = String::with_capacity(CLUSTER_ID_CHARACTERS);
    for _ in 0..CLUSTER_ID_CHARACTERS {
        let index = usize::try_from(bits & 63).unwrap_or(0);
        text.push(char::from(CLUSTER_ID_ALPHABET.get(index).copied().unwrap_or(b'A')));
        bits >>= 6;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::{OpenMode, simulated::SimulatedFileSystem, transfer::write_full},
        registry::directory::DataDirectory,
    };

    const DIRECTORY: &str = "data";

    fn version(env: &Env) -> Result<u32> {
        DataDirectory::open(env, Path::new(DIRECTORY)).map(|directory| directory.format_version())
    }

    /// Opens a directory whose `format.json` is these bytes, or not there, with `other` beside it.
    fn open_with(bytes: Option<&[u8]>, other: Option<&str>) -> Result<u32> {
        let env = SimulatedFileSystem::new(1).env();
        let directory = Path::new(DIRECTORY);
        env.files.create_directory(directory).unwrap();
        if let Some(bytes) = bytes {
            let path = directory.join(FORMAT_FILE);
            let file = env.files.open(&path, OpenMode::CreateNew).unwrap();
            write_full(&*file, &[bytes], 0).unwrap();
        }
        if let Some(other) = other {
            env.files.create_directory(&directory.join(other)).unwrap();
        }
        version(&env)
    }

    #[test]
    fn a_new_directory_has_the_first_version_until_a_newer_one_is_required() {
        let files = SimulatedFileSystem::new(1);
        let env = files.env();
        let directory = DataDirectory::open(&env, Path::new(DIRECTORY)).unwrap();
        assert_eq!(directory.format_version(), FORMAT_VERSION_FIRST);
        let unknown = directory.require_format(&env, FORMAT_VERSION_NEWEST + 1).unwrap_err();
        assert_eq!(unknown.code(), Code::InvalidArgument);
        assert_eq!(directory.format_version(), FORMAT_VERSION_FIRST);
        directory.require_format(&env, FORMAT_VERSION_COMPACTED).unwrap();
        let calls = files.calls();
        directory.require_format(&env, FORMAT_VERSION_COMPACTED).unwrap();
        directory.require_format(&env, FORMAT_VERSION_FIRST).unwrap();
        assert_eq!(files.calls(), calls, "what is so already costs nothing");
        let env = files.crash_keeping_nothing().unwrap().env();
        let again = DataDirectory::open(&env, Path::new(DIRECTORY)).unwrap();
        assert_eq!(again.format_version(), FORMAT_VERSION_COMPACTED);
        assert_eq!(again.cluster_id, directory.cluster_id);
    }

    #[test]
    fn a_power_cut_while_the_version_is_raised_leaves_the_old_one_or_the_new_one() {
        let mut was_raised = false;
        for nth in 1.. {
            for seed in 0..8 {
                let files = SimulatedFileSystem::new(seed);
                let env = files.env();
                let directory = DataDirectory::open(&env, Path::new(DIRECTORY)).unwrap();
                files.cut_power_at_call(nth);
                let required = directory.require_format(&env, FORMAT_VERSION_COMPACTED);
                was_raised = required.is_ok();
                let after = version(&files.crash().unwrap().env()).unwrap();
                let expected = if was_raised { 2..=2 } else { 1..=2 };
                assert!(expected.contains(&after), "call {nth}, seed {seed}: {after}");
            }
            if was_raised {
                break;
            }
        }
        assert!(was_raised);
    }

    #[test]
    fn a_file_that_cannot_be_believed_is_refused_and_says_why() {
        let good = br#"{"format_version":1,"cluster_id":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
        assert_eq!(open_with(Some(good), Some("logs")).unwrap(), 1);
        for (bytes, says) in [
            (Some(&b""[..]), "EOF"),
            (Some(&good[..20]), "EOF"),
            (Some(&[0; 100][..]), "expected value"),
            (Some(&[b' '; 100_000][..]), "100000 bytes long"),
            (Some(br#"{"format_version":0,"cluster_id":"AAAAAAAAAAAAAAAAAAAAAA"}"#), "format 0"),
            (
                Some(br#"{"format_version":1,"cluster_id":"A\u0000AAAAAAAAAAAAAAAAAAAA"}"#),
                "cluster",
            ),
            (None, "logs beside it"),
        ] {
            let error = open_with(bytes, Some("logs")).unwrap_err();
            assert_eq!(error.code(), Code::DataDamaged, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        // What a power cut leaves of a directory that was to be made is made again.
        assert_eq!(open_with(None, None).unwrap(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_with_the_release_that_knows_it() {
        let newer = |more: &str| {
            let json =
                format!(r#"{{"format_version":4,"cluster_id":"AAAAAAAAAAAAAAAAAAAAAA"{more}}}"#);
            open_with(Some(json.as_bytes()), None).unwrap_err()
        };
        let error = newer(r#","raised_by":"7.5.0","unknown":[]"#);
        assert_eq!(error.code(), Code::DataDirectoryNewer);
        for part in ["format 4", "start Millrace 7.5.0", "up to 3", "docs/operating.md"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(newer("").to_string().contains("start a later version of Millrace"));
    }
}
