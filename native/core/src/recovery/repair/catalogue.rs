//! What tells which topics there are: the metadata file, and `partition.json` in the directories.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use uuid::Uuid;

use super::{MetadataRepair, Repair, RepairAction};
use crate::{
    env::{
        Env, MemoryFileSystem, OpenMode,
        transfer::{read_whole, write_full},
    },
    error::{Code, Error, Result},
    limits,
    metadata::{self, Change, MetadataFile},
    registry::directory::{DataDirectory, LOGS, PartitionFile, SET_ASIDE},
    space::SpaceWatch,
};

/// A metadata file is a few MiB; this one would not be ours.
const METADATA_BYTES_MAX: u64 = 1 << 30;
/// How far behind the largest producer id that can be seen a new metadata file goes on: ids are
/// reserved a thousand at a time, and the last of them may have been given to a producer whose
/// batches are gone, or that has not written yet.
const PRODUCER_IDS_UNSEEN: u64 = 1_000_000;
/// How far behind the newest leader epoch that can be seen it goes on: every start takes one, also
/// one after which nothing is written.
const LEADER_EPOCHS_UNSEEN: u64 = 1_000;

/// What a data directory says about its topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Every entry of the metadata file; `None`: it is lost or does not open.
    pub entries: Option<Vec<(String, Vec<u8>)>>,
    /// Why not.
    pub problem: Option<String>,
    /// Directories of topics.
    pub directories: Vec<TopicDirectory>,
}

/// A topic's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDirectory {
    /// The topic's name, by the first `partition.json` that tells.
    pub topic: Option<String>,
    /// The topic's id.
    pub topic_id: Uuid,
    /// Numbers of the partitions that are there, rising.
    pub partitions: Vec<u32>,
    /// Its name below `set-aside/`, if it lies there.
    pub set_aside: Option<String>,
}

/// Looks at the metadata file, without changing it, and at the directories of topics. Waits for
/// the disk.
///
/// # Errors
/// Those of [`DataDirectory::open`], and any I/O error.
pub fn inventory(env: &Env, path: &Path) -> Result<Inventory> {
    let directory = DataDirectory::open(env, path)?;
    let mut found = Inventory::default();
    match metadata_entries(env, path) {
        Ok(entries) => found.entries = Some(entries),
        Err(error) if matches!(error.code(), Code::DataDamaged | Code::KafkaStorageError) => {
            found.problem = Some(error.detail().to_owned());
        }
        Err(error) => return Err(error),
    }
    for (below, is_aside) in [(LOGS, false), (SET_ASIDE, true)] {
        for (name, topic_id) in topic_directories(env, &directory.path.join(below))? {
            let path = directory.path.join(below).join(&name);
            let set_aside = is_aside.then_some(name);
            found.directories.push(topic_directory(env, &path, topic_id, set_aside)?);
        }
    }
    Ok(found)
}

/// Names that begin with a topic id; of those set aside something follows it.
fn topic_directories(env: &Env, path: &Path) -> Result<Vec<(String, Uuid)>> {
    let entries = match env.files.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format_args!("listing {}", path.display()), &error)),
    };
    let directories = entries.into_iter().filter(|entry| entry.is_directory);
    Ok(directories
        .filter_map(|entry| Some((entry.name.clone(), topic_id_of(&entry.name)?)))
        .collect())
}

/// The id with which the name of a topic's directory begins.
fn topic_id_of(name: &str) -> Option<Uuid> {
    Uuid::parse_str(name.get(..36)?).ok()
}

/// The number of the partition whose directory has this name. Any other directory, such as one that
/// somebody keeps a copy in, is none, however much its name looks like a number.
pub(super) fn partition_number(name: &str) -> Option<u32> {
    let number: u32 = name.parse().ok()?;
    let is_one = u64::from(number) < limits::TOPIC_PARTITIONS_MAX && number.to_string() == name;
    is_one.then_some(number)
}

fn topic_directory(
    env: &Env,
    path: &Path,
    topic_id: Uuid,
    set_aside: Option<String>,
) -> Result<TopicDirectory> {
    let entries = env
        .files
        .list(path)
        .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))?;
    let mut found = TopicDirectory { topic: None, topic_id, partitions: Vec::new(), set_aside };
    for entry in entries.iter().filter(|entry| entry.is_directory) {
        if found.topic.is_none() && partition_number(&entry.name).is_some() {
            found.topic = PartitionFile::load(env, &path.join(&entry.name))?.map(|file| file.topic);
        }
        found.partitions.extend(partition_number(&entry.name));
    }
    found.partitions.sort_unstable();
    Ok(found)
}

/// The entries of the metadata file.
fn metadata_entries(env: &Env, path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    Ok(metadata_copy(env, path)?.load()?.entries)
}

/// The metadata file as a copy in memory: opening it changes it.
fn metadata_copy(env: &Env, path: &Path) -> Result<MetadataFile> {
    let failed =
        |error: std::io::Error| Error::io(format_args!("reading {}", metadata::FILE_NAME), &error);
    let bytes = read_whole(&*env.files, &path.join(metadata::FILE_NAME), METADATA_BYTES_MAX)
        .map_err(failed)?
        .ok_or_else(|| Error::new(Code::DataDamaged, "metadata.redb is not there"))?;
    if bytes.is_empty() {
        return Err(Error::new(Code::DataDamaged, "metadata.redb is empty"));
    }
    let copy = Env { files: Arc::new(MemoryFileSystem::new(None)), ..env.clone() };
    let directory = Path::new("/copy");
    copy.files.create_directory(directory).map_err(failed)?;
    let file = copy
        .files
        .open(&directory.join(metadata::FILE_NAME), OpenMode::CreateNew)
        .map_err(failed)?;
    write_full(&*file, &[&bytes], 0).map_err(failed)?;
    drop(file);
    open_metadata(&copy, directory, directory)
}

impl Repair<'_> {
    /// Moves directories that were set aside back to where topics are served from.
    pub(super) fn bring_back(&mut self) -> Result<()> {
        for name in &self.options.bring_back {
            let from = self.directory.path.join(SET_ASIDE).join(name);
            let topic_id = topic_id_of(name).ok_or_else(|| {
                Error::new(Code::InvalidArgument, format!("{name} is no topic's directory"))
            })?;
            let to = self.directory.topic(topic_id);
            if self.is_for_real() {
                let files = &*self.env.files;
                files
                    .rename(&from, &to)
                    .and_then(|()| files.sync_directory(&self.directory.path.join(LOGS)))
                    .and_then(|()| files.sync_directory(&self.directory.path.join(SET_ASIDE)))
                    .map_err(|error| {
                        Error::io(format_args!("moving {} back", from.display()), &error)
                    })?;
            }
            self.tell(RepairAction {
                subject: topic_id.to_string(),
                detail: format!("brought back from {}", from.display()),
                file: to.display().to_string(),
                ..RepairAction::default()
            });
        }
        Ok(())
    }

    /// Creates the directories of partitions that have none: what they held is gone, and the topic
    /// could not be opened without them.
    pub(super) fn create_missing(&mut self) -> Result<()> {
        let mut by_topic: BTreeMap<(&str, Uuid), Vec<u32>> = BTreeMap::new();
        for missing in &self.options.missing {
            let key = (missing.topic.as_str(), missing.topic_id);
            by_topic.entry(key).or_default().push(missing.partition);
        }
        for ((topic, topic_id), partitions) in by_topic {
            for partition in partitions {
                if self.is_for_real() {
                    let one = partition..partition.saturating_add(1);
                    self.directory.create_partitions(self.env, topic, topic_id, one, 1)?;
                }
                self.tell(RepairAction {
                    subject: format!("{topic}-{partition}"),
                    detail: "its directory is gone with all its records: created, empty".to_owned(),
                    file: self.directory.partition(topic_id, partition).display().to_string(),
                    ..RepairAction::default()
                });
            }
        }
        Ok(())
    }

    /// Adds to the metadata file, or puts a new one in its place.
    pub(super) fn metadata(&mut self) -> Result<()> {
        let path = self.directory.path.join(metadata::FILE_NAME);
        let file = path.display().to_string();
        match &self.options.metadata {
            MetadataRepair::Keep => {}
            MetadataRepair::Add(changes) if changes.is_empty() => {}
            MetadataRepair::Add(changes) => {
                if self.is_for_real() {
                    let path = &self.directory.path;
                    let metadata = open_metadata(self.env, path, path)?;
                    let epoch = metadata.load()?.epoch;
                    metadata.commit(epoch, changes)?;
                    metadata.close();
                }
                let detail = format!("{} entries added: {}", changes.len(), keys(changes));
                let subject = metadata::FILE_NAME.to_owned();
                self.tell(RepairAction { subject, detail, file, ..RepairAction::default() });
            }
            MetadataRepair::Rebuild(changes) => {
                self.tell_of_strays()?;
                let salvaged_to = self.rebuild_metadata(&path, changes)?;
                let detail =
                    format!("made again with {} entries: {}", changes.len(), keys(changes));
                let subject = metadata::FILE_NAME.to_owned();
                let action =
                    RepairAction { subject, detail, file, salvaged_to, ..RepairAction::default() };
                self.tell(action);
            }
        }
        Ok(())
    }

    /// Tells of directories that were not counted when partitions were.
    fn tell_of_strays(&mut self) -> Result<()> {
        for topic_id in self.directory.topic_ids(self.env)? {
            let topic = self.directory.topic(topic_id);
            let entries =
                self.env.files.list(&topic).map_err(|error| {
                    Error::io(format_args!("listing {}", topic.display()), &error)
                })?;
            for entry in entries.iter().filter(|entry| entry.is_directory) {
                if partition_number(&entry.name).is_none() {
                    self.tell(RepairAction {
                        subject: topic_id.to_string(),
                        detail: format!("{} is no partition's number: left alone", entry.name),
                        file: topic.join(&entry.name).display().to_string(),
                        ..RepairAction::default()
                    });
                }
            }
        }
        Ok(())
    }

    /// The leader epoch and the producer id that a new metadata file goes on with: neither is ever
    /// given twice. The old file tells where it opens; otherwise what was seen does, and what was
    /// given out may be further.
    fn counters(&self) -> (u64, u64) {
        let next = |max: i64| u64::try_from(max.saturating_add(1)).unwrap_or(0);
        let (epoch, id) = (next(i64::from(self.leader_epoch_max)), next(self.producer_id_max));
        let old = metadata_copy(self.env, &self.directory.path)
            .and_then(|old| Ok((old.leader_epoch()?, old.producer_ids_end())));
        match old {
            Ok((old_epoch, old_id)) => (epoch.max(old_epoch), id.max(old_id)),
            // What is wrong with it is the reason for a new one.
            Err(_) => {
                (epoch.saturating_add(LEADER_EPOCHS_UNSEEN), id.saturating_add(PRODUCER_IDS_UNSEEN))
            }
        }
    }

    fn rebuild_metadata(&mut self, path: &Path, changes: &[Change]) -> Result<Option<String>> {
        if !self.is_for_real() {
            return Ok(None);
        }
        let is_there = self.env.files.open(path, OpenMode::Read).is_ok();
        let kept = if is_there { self.keep_file("", path)? } else { None };
        let (leader_epoch, producer_id) = self.counters();
        // Made elsewhere and moved: at no time is there one that knows only some of the topics.
        let making = self.salvage.directory(self.env, "metadata")?;
        let made = making.join(metadata::FILE_NAME);
        drop(self.env.files.remove_file(&made));
        let metadata = open_metadata(self.env, &making, &self.directory.path)?;
        metadata.commit(0, changes)?;
        metadata.go_on_from(leader_epoch, producer_id)?;
        metadata.close();
        let files = &*self.env.files;
        files
            .rename(&made, path)
            .and_then(|()| files.sync_directory(&self.directory.path))
            .and_then(|()| files.sync_directory(&making))
            .and_then(|()| files.remove_directory(&making))
            .map_err(|error| Error::io(format_args!("replacing {}", path.display()), &error))?;
        Ok(kept)
    }
}

/// Opens the metadata file in a directory; the reserve is that of the data directory.
fn open_metadata(env: &Env, directory: &Path, data_directory: &Path) -> Result<MetadataFile> {
    let space = SpaceWatch::open(Arc::clone(&env.files), data_directory)?;
    MetadataFile::open(env, directory, space)
}

fn keys(changes: &[Change]) -> String {
    let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
    keys.join(", ")
}
