//! The names of a file system in memory: directories, and what each name in them stands for.
//!
//! Every operation is worked out as a [`Change`], a set of names with their new meanings, before it
//! takes effect. That lets the simulated file system hold changes back and apply them to another
//! namespace later, or never.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
};

/// Identity of a directory: it keeps it when it is renamed, and no other directory ever gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DirectoryId(u64);

/// The directory that every path, relative ones too, starts from.
const ROOT: DirectoryId = DirectoryId(0);

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node<T> {
    Directory(DirectoryId),
    File(T),
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) directory: DirectoryId,
    pub(super) name: String,
}

/// What one operation changes: each name with its new meaning, all of them or none.
#[derive(Debug, Clone)]
pub(super) struct Change<T> {
    pub(super) assignments: Vec<(Slot, Option<Node<T>>)>,
    /// A directory that goes with this change, which is why it had to be empty.
    pub(super) removed: Option<DirectoryId>,
}

impl<T> Change<T> {
    fn one(slot: Slot, node: Option<Node<T>>) -> Self {
        Self { assignments: vec![(slot, node)], removed: None }
    }
}

/// Directories with their names, each in order.
#[derive(Debug, Clone)]
pub(super) struct Namespace<T> {
    directories: BTreeMap<DirectoryId, BTreeMap<String, Node<T>>>,
    directories_made: u64,
}

impl<T: Clone> Namespace<T> {
    /// An empty root.
    pub(super) fn new() -> Self {
        Self { directories: BTreeMap::from([(ROOT, BTreeMap::new())]), directories_made: 0 }
    }

    /// The directory at `path`: `NotFound`, or `NotADirectory` when a file stands in the way.
    pub(super) fn directory(&self, path: &Path) -> io::Result<DirectoryId> {
        let mut directory = ROOT;
        for name in names(path)? {
            match self.at(directory, name) {
                Some(Node::Directory(child)) => directory = *child,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        Ok(directory)
    }

    /// The path from the root of the directory at `path`, as [`Self::directory`] finds it.
    pub(super) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.directory(path)?;
        Ok(Path::new("/").join(names(path)?.iter().collect::<PathBuf>()))
    }

    /// The file at `path`: `NotFound`, `IsADirectory`, or as [`Self::directory`].
    pub(super) fn file(&self, path: &Path) -> io::Result<T> {
        match self.find(path)?.1 {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Names in the directory at `path`, in order.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, Node<T>)>> {
        let directory = self.directory(path)?;
        let names = self.directories.get(&directory).into_iter().flatten();
        Ok(names.map(|(name, node)| (name.clone(), node.clone())).collect())
    }

    /// Puts a new file at `path`. `AlreadyExists` when something is there.
    pub(super) fn create_file(&mut self, path: &Path, file: T) -> io::Result<Change<T>> {
        match self.find(path)? {
            (slot, None) => Ok(self.applied(Change::one(slot, Some(Node::File(file))))),
            (_, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Makes the directory at `path` and every missing one above it, a change for each.
    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<Vec<Change<T>>> {
        let mut directory = ROOT;
        let mut changes = Vec::new();
        for name in names(path)? {
            directory = match self.at(directory, name) {
                Some(Node::Directory(child)) => *child,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    self.directories_made += 1;
                    let child = DirectoryId(self.directories_made);
                    let slot = Slot { directory, name: name.to_owned() };
                    changes.push(self.applied(Change::one(slot, Some(Node::Directory(child)))));
                    child
                }
            };
        }
        Ok(changes)
    }

    /// Moves what is at `from` to `to`, in place of a file or an empty directory there.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Change<T>> {
        let (from_slot, moved) = self.find(from)?;
        let moved = moved.ok_or(io::ErrorKind::NotFound)?;
        let (to_slot, replaced) = self.find(to)?;
        if from_slot == to_slot {
            return Ok(Change { assignments: Vec::new(), removed: None });
        }
        if names(to)?.starts_with(&names(from)?) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let removed = match (&moved, &replaced) {
            (Node::File(_), Some(Node::Directory(_))) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            (Node::Directory(_), Some(Node::File(_))) => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            (Node::Directory(_), Some(Node::Directory(directory))) => {
                self.expect_empty(*directory)?;
                Some(*directory)
            }
            (Node::File(_), Some(Node::File(_))) | (_, None) => None,
        };
        let assignments = vec![(from_slot, None), (to_slot, Some(moved))];
        Ok(self.applied(Change { assignments, removed }))
    }

    /// Takes the name of a file away, as [`Self::file`] finds it.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<Change<T>> {
        self.file(path)?;
        let (slot, _) = self.find(path)?;
        Ok(self.applied(Change::one(slot, None)))
    }

    /// Takes an empty directory away: `DirectoryNotEmpty`, or as [`Self::directory`].
    pub(super) fn remove_directory(&mut self, path: &Path) -> io::Result<Change<T>> {
        let directory = self.directory(path)?;
        self.expect_empty(directory)?;
        let (slot, _) = self.find(path)?;
        let assignments = vec![(slot, None)];
        Ok(self.applied(Change { assignments, removed: Some(directory) }))
    }

    /// Gives the names of `change` their new meanings, wherever it was worked out. A directory
    /// that this namespace does not know yet starts out empty, reachable or not.
    pub(super) fn apply(&mut self, change: &Change<T>) {
        for (slot, node) in &change.assignments {
            if let Some(Node::Directory(directory)) = node {
                self.directories.entry(*directory).or_default();
                self.directories_made = self.directories_made.max(directory.0);
            }
            let names = self.directories.entry(slot.directory).or_default();
            match node {
                Some(node) => names.insert(slot.name.clone(), node.clone()),
                None => names.remove(&slot.name),
            };
        }
        if let Some(removed) = change.removed {
            self.directories.remove(&removed);
        }
    }

    /// The same names for other files, made by `translate` in an order that depends on the names
    /// alone; directories that no path leads to are left out.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn try_map<U, E>(
        &self,
        mut translate: impl FnMut(&T) -> Result<U, E>,
    ) -> Result<Namespace<U>, E> {
        let mut directories = BTreeMap::new();
        let mut waiting = vec![ROOT];
        while let Some(directory) = waiting.pop() {
            let mut names = BTreeMap::new();
            for (name, node) in self.directories.get(&directory).into_iter().flatten() {
                let node = match node {
                    Node::Directory(child) => {
                        waiting.push(*child);
                        Node::Directory(*child)
                    }
                    Node::File(file) => Node::File(translate(file)?),
                };
                names.insert(name.clone(), node);
            }
            directories.insert(directory, names);
        }
        Ok(Namespace { directories, directories_made: self.directories_made })
    }

    /// The name that `path` ends in, and what it stands for.
    fn find(&self, path: &Path) -> io::Result<(Slot, Option<Node<T>>)> {
        let name = *names(path)?.last().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let node = self.at(directory, name).cloned();
        Ok((Slot { directory, name: name.to_owned() }, node))
    }

    fn at(&self, directory: DirectoryId, name: &str) -> Option<&Node<T>> {
        self.directories.get(&directory)?.get(name)
    }

    fn expect_empty(&self, directory: DirectoryId) -> io::Result<()> {
        match self.directories.get(&directory) {
            Some(names) if !names.is_empty() => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => Ok(()),
        }
    }

    fn applied(&mut self, change: Change<T>) -> Change<T> {
        self.apply(&change);
        change
    }
}

/// The names of a path, from the root. `InvalidInput` for `..` and for names that are not UTF-8.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_str().ok_or(io::ErrorKind::InvalidInput)),
            Component::ParentDir => Some(Err(io::ErrorKind::InvalidInput)),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .map(|name| name.map_err(io::Error::from))
        .collect()
}
