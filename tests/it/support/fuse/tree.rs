//! The files and folders of the file system, in memory.

use super::views::{Change, Content, NameVersions, Named, Versions, Viewer};
use super::{Call, Habits};
use icu_casemap::CaseMapper;
use icu_normalizer::DecomposingNormalizer;
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime};

pub type Outcome<T> = Result<T, Errno>;

pub const ROOT: u64 = 1;
/// The bit of a folder that passes its group on.
const SETGID: u32 = 0o2000;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Symlink(OsString),
    Pipe,
}

struct Node {
    kind: Kind,
    versions: Versions,
    links: u32,
    open: u32,
    /// By the key of the name.
    names: BTreeMap<OsString, NameVersions>,
    attributes: BTreeMap<OsString, Vec<u8>>,
}

/// What `stat(2)` says.
pub struct Stat {
    pub number: u64,
    pub kind: Kind,
    pub links: u32,
    pub size: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: SystemTime,
    pub changed: SystemTime,
    /// How long the kernel may answer so without a new request.
    pub cached: Duration,
}

/// What is new about a node.
pub struct Creation {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A name in a folder, as a call gives it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub folder: u64,
    pub name: &'a OsStr,
}

/// All nodes. Numbers are never used again.
pub struct Tree {
    habits: Habits,
    nodes: HashMap<u64, Node>,
    /// Further numbers of nodes, where numbers are unstable.
    aliases: HashMap<u64, u64>,
    next: u64,
}

impl Tree {
    pub(super) fn new(habits: Habits) -> Self {
        let mut tree = Self {
            habits,
            nodes: HashMap::new(),
            aliases: HashMap::new(),
            next: ROOT,
        };
        tree.add_node(&Creation {
            kind: Kind::Folder,
            mode: 0o777,
            uid: 0,
            gid: 0,
        });
        tree
    }

    pub(super) fn habits(&self) -> &Habits {
        &self.habits
    }

    /// The view of a process.
    pub fn viewer(&self, process: u32) -> Viewer {
        Viewer::new(process, self.habits.late)
    }

    fn add_node(&mut self, creation: &Creation) -> u64 {
        let number = self.number();
        let now = SystemTime::now();
        let content = Content {
            data: Vec::new(),
            mode: creation.mode & 0o7777,
            uid: creation.uid,
            gid: creation.gid,
            modified: now,
            changed: now,
        };
        let node = Node {
            kind: creation.kind.clone(),
            versions: Versions::new(content),
            links: 1,
            open: 0,
            names: BTreeMap::new(),
            attributes: BTreeMap::new(),
        };
        self.nodes.insert(number, node);
        number
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// A new number for a file, where numbers are unstable.
    fn alias(&mut self, node: u64) -> u64 {
        let is_file = self
            .nodes
            .get(&node)
            .is_some_and(|node| node.kind == Kind::File);
        if !(self.habits.has_unstable_inodes && is_file) {
            return node;
        }
        let alias = self.number();
        self.aliases.insert(alias, node);
        alias
    }

    fn node(&mut self, number: u64) -> Outcome<&mut Node> {
        let number = self.aliases.get(&number).copied().unwrap_or(number);
        self.nodes.get_mut(&number).ok_or(Errno::STALE)
    }

    fn folder(&mut self, number: u64) -> Outcome<&mut Node> {
        let node = self.node(number)?;
        match node.kind {
            Kind::Folder => Ok(node),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The form in which names are compared.
    fn key(&self, name: &OsStr) -> OsString {
        match name.to_str() {
            Some(name) if self.habits.folds_names => {
                let nfd = DecomposingNormalizer::new_nfd();
                let folded = CaseMapper::new()
                    .fold_string(&nfd.normalize(name))
                    .into_owned();
                nfd.normalize(&folded).into_owned().into()
            }
            _ => name.to_owned(),
        }
    }

    fn check_length(&self, name: &OsStr) -> Outcome<()> {
        let longest = self.habits.longest_name.unwrap_or(255);
        if name.len() > longest {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(())
    }

    fn check_new_name(&self, name: &OsStr) -> Outcome<()> {
        self.check_length(name)?;
        let name = name.to_string_lossy();
        let refused = &self.habits.refused_characters;
        let refused = refused
            .iter()
            .find(|(character, _)| name.contains(*character));
        refused.map_or(Ok(()), |(_, errno)| Err(*errno))
    }

    /// What a process sees under a name.
    pub fn lookup(&mut self, viewer: &Viewer, place: Place<'_>) -> Outcome<Stat> {
        self.check_length(place.name)?;
        let key = self.key(place.name);
        let names = &self.folder(place.folder)?.names;
        let seen = names.get(&key).and_then(|name| name.seen_by(viewer));
        let node = seen.ok_or(Errno::NOENT)?.node;
        let alias = self.alias(node);
        self.stat(viewer, alias)
    }

    fn truth(&mut self, place: Place<'_>) -> Outcome<Option<u64>> {
        let key = self.key(place.name);
        let names = &self.folder(place.folder)?.names;
        Ok(names
            .get(&key)
            .and_then(NameVersions::truth)
            .map(|named| named.node))
    }

    /// Puts a node, or nothing, under a name.
    fn set_name(&mut self, viewer: &Viewer, place: Place<'_>, node: Option<u64>) -> Outcome<()> {
        let key = self.key(place.name);
        let versions = self.folder(place.folder)?.names.entry(key).or_default();
        let kept = versions.truth().map(|named| named.name.clone());
        let name = kept.unwrap_or_else(|| place.name.to_owned());
        versions.change(viewer, node.map(|node| Named { name, node }));
        let modified = Change::Modified(SystemTime::now());
        self.folder(place.folder)?.versions.change(viewer, modified);
        Ok(())
    }

    pub fn stat(&mut self, viewer: &Viewer, number: u64) -> Outcome<Stat> {
        let (shown, cached) = (self.habits.shown, self.habits.cached);
        let node = self.node(number)?;
        let (kind, links) = (node.kind.clone(), node.links);
        let content = node.versions.seen_by(viewer);
        let size = match &kind {
            Kind::Symlink(target) => target.len() as u64,
            _ => content.data.len() as u64,
        };
        let mut stat = Stat {
            number,
            links,
            size,
            mode: content.mode,
            uid: content.uid,
            gid: content.gid,
            modified: content.modified,
            changed: content.changed,
            cached,
            kind,
        };
        if let Some(shown) = shown {
            let is_folder = stat.kind == Kind::Folder;
            let execute = if is_folder {
                (shown.mode & 0o444) >> 2
            } else {
                0
            };
            (stat.uid, stat.gid) = (shown.uid, shown.gid);
            stat.mode = shown.mode | execute;
        }
        Ok(stat)
    }

    /// Creates a node. The truth decides whether the name is free.
    pub fn create(
        &mut self,
        viewer: &Viewer,
        place: Place<'_>,
        mut new: Creation,
    ) -> Outcome<Stat> {
        self.check_new_name(place.name)?;
        if matches!(new.kind, Kind::Symlink(_)) {
            self.habits.refusal(Call::Symlink)?;
        }
        if self.truth(place)?.is_some() {
            if new.kind == Kind::Folder {
                self.show(viewer, place)?;
            }
            return Err(Errno::EXIST);
        }
        let parent = self.folder(place.folder)?.versions.truth();
        if parent.mode & SETGID != 0 {
            new.gid = parent.gid;
            if new.kind == Kind::Folder {
                new.mode |= SETGID;
            }
        }
        let node = self.add_node(&new);
        self.set_name(viewer, place, Some(node))?;
        let alias = self.alias(node);
        self.stat(viewer, alias)
    }

    /// Opens what truly stands under a name, which its process does not see yet.
    pub fn find_late(&mut self, viewer: &Viewer, place: Place<'_>) -> Outcome<Option<Stat>> {
        if self.truth(place)?.is_none() {
            return Ok(None);
        }
        self.show(viewer, place)?;
        self.lookup(viewer, place).map(Some)
    }

    fn show(&mut self, viewer: &Viewer, place: Place<'_>) -> Outcome<()> {
        let key = self.key(place.name);
        let folder = self.folder(place.folder)?;
        folder.names.entry(key).or_default().show(viewer);
        Ok(())
    }

    pub fn link(&mut self, viewer: &Viewer, node: u64, place: Place<'_>) -> Outcome<Stat> {
        self.habits.refusal(Call::Link)?;
        self.check_new_name(place.name)?;
        if self.truth(place)?.is_some() {
            return Err(Errno::EXIST);
        }
        self.node(node)?.links += 1;
        let node = self.aliases.get(&node).copied().unwrap_or(node);
        self.set_name(viewer, place, Some(node))?;
        let alias = self.alias(node);
        self.stat(viewer, alias)
    }

    /// Removes a name; `is_folder` as the call says.
    pub fn remove(&mut self, viewer: &Viewer, place: Place<'_>, is_folder: bool) -> Outcome<()> {
        let node = self.truth(place)?.ok_or(Errno::NOENT)?;
        self.check_removable(node, is_folder)?;
        self.set_name(viewer, place, None)?;
        self.unlink(node);
        Ok(())
    }

    fn check_removable(&mut self, node: u64, is_folder: bool) -> Outcome<()> {
        let node = self.node(node)?;
        match (node.kind == Kind::Folder, is_folder) {
            (true, false) => Err(Errno::ISDIR),
            (false, true) => Err(Errno::NOTDIR),
            (true, true) if node.names.values().any(|name| name.truth().is_some()) => {
                Err(Errno::NOTEMPTY)
            }
            _ => Ok(()),
        }
    }

    fn unlink(&mut self, node: u64) {
        if let Ok(node) = self.node(node) {
            node.links -= 1;
        }
        self.free(node);
    }

    /// Frees a node without name and descriptor. Where changes are shown late, others still see it.
    fn free(&mut self, number: u64) {
        let is_late = self.habits.late.is_some();
        let unused = |node: &mut Node| node.links == 0 && node.open == 0;
        if !is_late && self.node(number).is_ok_and(unused) {
            let number = self.aliases.get(&number).copied().unwrap_or(number);
            self.nodes.remove(&number);
        }
    }

    pub fn rename(
        &mut self,
        viewer: &Viewer,
        from: Place<'_>,
        to: Place<'_>,
        flags: Flags,
    ) -> Outcome<()> {
        self.habits.refusal(Call::Rename)?;
        if flags != Flags::None {
            self.habits.refusal(Call::RenameFlags)?;
        }
        self.check_new_name(to.name)?;
        let node = self.truth(from)?.ok_or(Errno::NOENT)?;
        let replaced = self.truth(to)?;
        match (flags, replaced) {
            (Flags::Other, _) => return Err(Errno::INVAL),
            (Flags::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (_, Some(replaced)) if replaced == node => return Ok(()),
            (_, Some(replaced)) => {
                let is_folder = self.node(node)?.kind == Kind::Folder;
                self.check_removable(replaced, is_folder)?;
            }
            (_, None) => {}
        }
        self.set_name(viewer, from, None)?;
        self.set_name(viewer, to, Some(node))?;
        if let Some(replaced) = replaced {
            self.unlink(replaced);
        }
        Ok(())
    }

    pub fn read(
        &mut self,
        viewer: &Viewer,
        node: u64,
        offset: usize,
        size: usize,
    ) -> Outcome<Vec<u8>> {
        let seen = self.node(node)?.versions.seen_by(viewer);
        let start = offset.min(seen.data.len());
        let end = offset.saturating_add(size).min(seen.data.len());
        Ok(seen.data[start..end].to_vec())
    }

    /// Writes at `offset`, or at the true end.
    pub fn write(
        &mut self,
        viewer: &Viewer,
        node: u64,
        offset: Option<usize>,
        data: &[u8],
    ) -> Outcome<()> {
        let versions = &mut self.node(node)?.versions;
        let write = Change::Write {
            offset: offset.unwrap_or(versions.truth().data.len()),
            data: data.to_vec(),
        };
        versions.change(viewer, write);
        Ok(())
    }

    pub fn change(&mut self, viewer: &Viewer, node: u64, change: Change) -> Outcome<()> {
        match change {
            Change::Mode(_) => self.habits.refusal(Call::Chmod)?,
            Change::Uid(_) | Change::Gid(_) => self.habits.refusal(Call::Chown)?,
            Change::Modified(_) if self.habits.keeps_own_times => return Ok(()),
            Change::Modified(_) => self.habits.refusal(Call::Times)?,
            Change::Write { .. } | Change::Length(_) => {}
        }
        self.node(node)?.versions.change(viewer, change);
        Ok(())
    }

    pub fn open(&mut self, node: u64) -> Outcome<()> {
        self.node(node)?.open += 1;
        Ok(())
    }

    pub fn close(&mut self, node: u64) {
        if let Ok(node) = self.node(node) {
            node.open = node.open.saturating_sub(1);
        }
        self.free(node);
    }

    /// The names in a folder that a process sees, with their nodes.
    pub fn list(&mut self, viewer: &Viewer, folder: u64) -> Outcome<Vec<(OsString, u64, Kind)>> {
        let names = &self.folder(folder)?.names;
        let seen = names.values().filter_map(|name| name.seen_by(viewer));
        let seen: Vec<Named> = seen.cloned().collect();
        let with_kind = |Named { name, node }| {
            let kind = self.node(node).ok()?.kind.clone();
            Some((name, node, kind))
        };
        Ok(seen.into_iter().filter_map(with_kind).collect())
    }

    pub fn attributes(&mut self, node: u64) -> Outcome<&mut BTreeMap<OsString, Vec<u8>>> {
        self.habits.refusal(Call::Xattr)?;
        Ok(&mut self.node(node)?.attributes)
    }

    pub fn target(&mut self, node: u64) -> Outcome<OsString> {
        match &self.node(node)?.kind {
            Kind::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn settle(&mut self) {
        for node in self.nodes.values_mut() {
            node.versions.settle();
            node.names.values_mut().for_each(NameVersions::settle);
        }
    }

    fn walk(&mut self, path: &str) -> Option<u64> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(ROOT, |folder, name| {
            let name = OsStr::from_bytes(name.as_bytes());
            self.truth(Place { folder, name }).ok().flatten()
        })
    }

    pub(super) fn true_content(&mut self, path: &str) -> Option<Vec<u8>> {
        let node = self.walk(path)?;
        Some(self.node(node).ok()?.versions.truth().data.clone())
    }

    pub(super) fn remove_from_root(&mut self, name: &str) -> Outcome<()> {
        let place = Place {
            folder: ROOT,
            name: OsStr::new(name),
        };
        self.remove(&Viewer::of_truth(), place, false)
    }

    pub(super) fn true_names(&mut self, folder: &str) -> Option<Vec<String>> {
        let folder = self.walk(folder)?;
        let names = self.list(&Viewer::of_truth(), folder).ok()?;
        let name = |(name, ..): (OsString, _, _)| name.to_string_lossy().into_owned();
        let mut names: Vec<_> = names.into_iter().map(name).collect();
        names.sort();
        Some(names)
    }
}

/// What `renameat2(2)` is told beside two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    None,
    NoReplace,
    Other,
}
