//! The kernel's requests, answered from the tree. Nothing here touches the mounted folder: the kernel would
//! wait for this thread.

use super::Call;
use super::tree::{Creation, Flags, Kind, Outcome, Place, ROOT, Stat, Tree};
use super::views::{Change, Viewer};
use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLock, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

const BLOCK: u32 = 4096;

/// What `opendir` saw.
type Listing = Arc<Vec<(OsString, u64, Kind)>>;

/// The answers to one mount's requests.
pub struct Session {
    tree: Arc<Mutex<Tree>>,
    listings: Mutex<Listings>,
}

#[derive(Default)]
struct Listings {
    open: HashMap<u64, Listing>,
    next: u64,
}

impl Session {
    pub fn new(tree: Arc<Mutex<Tree>>) -> Self {
        Self {
            tree,
            listings: Mutex::default(),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `work` with the tree and the view of the process that asks.
    fn with<T>(&self, request: &Request, work: impl FnOnce(&mut Tree, &Viewer) -> T) -> T {
        let mut tree = self.tree();
        let is_late = tree.habits().late.is_some();
        let process = if is_late {
            process_of(request.pid())
        } else {
            0
        };
        let viewer = tree.viewer(process);
        work(&mut tree, &viewer)
    }

    fn refusal(&self, call: Call) -> Outcome<()> {
        self.tree().habits().refusal(call)
    }
}

/// The process of a thread. The kernel tells the thread.
fn process_of(thread: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    process
        .and_then(|process| process.trim().parse().ok())
        .unwrap_or(thread)
}

fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::Pipe => FileType::NamedPipe,
    }
}

fn attributes(stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.number),
        size: stat.size,
        blocks: stat.size.div_ceil(512),
        atime: stat.modified,
        mtime: stat.modified,
        ctime: stat.changed,
        crtime: stat.changed,
        kind: file_type(&stat.kind),
        perm: (stat.mode & 0o7777) as u16,
        nlink: stat.links,
        uid: stat.uid,
        gid: stat.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn place(folder: INodeNo, name: &OsStr) -> Place<'_> {
    Place {
        folder: folder.0,
        name,
    }
}

fn empty(reply: ReplyEmpty, outcome: Outcome<()>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn entry(reply: ReplyEntry, outcome: Outcome<Stat>) {
    match outcome {
        Ok(stat) => reply.entry(&stat.cached, &attributes(&stat), Generation(0)),
        Err(error) => reply.error(errno(error)),
    }
}

fn attr(reply: ReplyAttr, outcome: Outcome<Stat>) {
    match outcome {
        Ok(stat) => reply.attr(&stat.cached, &attributes(&stat)),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for Session {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let tree = self.tree();
        let habits = tree.habits();
        // Without these, the kernel locks by itself, and truly.
        let mut wanted = InitFlags::empty();
        if habits.grants_every_lock || habits.refusal(Call::Flock).is_err() {
            wanted |= InitFlags::FUSE_FLOCK_LOCKS;
        }
        if habits.grants_every_lock {
            wanted |= InitFlags::FUSE_POSIX_LOCKS;
        }
        let missing = |missing| std::io::Error::other(format!("the kernel lacks {missing:?}"));
        config.add_capabilities(wanted).map_err(missing)
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.with(request, |tree, viewer| {
            tree.lookup(viewer, place(parent, name))
        });
        entry(reply, found);
    }

    fn getattr(&self, request: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.with(request, |tree, viewer| tree.stat(viewer, node.0));
        attr(reply, found);
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let modified = modified.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        let changes = [
            mode.map(|mode| Change::Mode(mode & 0o7777)),
            uid.map(Change::Uid),
            gid.map(Change::Gid),
            size.map(|size| Change::Length(size as usize)),
            modified.map(Change::Modified),
        ];
        let changed = self.with(request, |tree, viewer| {
            for change in changes.into_iter().flatten() {
                tree.change(viewer, node.0, change)?;
            }
            tree.stat(viewer, node.0)
        });
        attr(reply, changed);
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        match self.tree().target(node.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let kind = match rustix::fs::FileType::from_raw_mode(mode) {
            rustix::fs::FileType::RegularFile => Kind::File,
            rustix::fs::FileType::Fifo => Kind::Pipe,
            _ => return reply.error(fuser::Errno::EPERM),
        };
        let new = creation(request, kind, mode);
        let created = self.with(request, |tree, viewer| {
            tree.create(viewer, place(parent, name), new)
        });
        entry(reply, created);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let new = creation(request, Kind::Folder, mode);
        let created = self.with(request, |tree, viewer| {
            tree.create(viewer, place(parent, name), new)
        });
        entry(reply, created);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = creation(request, Kind::Symlink(target.as_os_str().to_owned()), 0o777);
        let created = self.with(request, |tree, viewer| {
            tree.create(viewer, place(parent, name), new)
        });
        entry(reply, created);
    }

    fn link(
        &self,
        request: &Request,
        node: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let linked = self.with(request, |tree, viewer| {
            tree.link(viewer, node.0, place(parent, name))
        });
        entry(reply, linked);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.with(request, |tree, viewer| {
            tree.remove(viewer, place(parent, name), false)
        });
        empty(reply, removed);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.with(request, |tree, viewer| {
            tree.remove(viewer, place(parent, name), true)
        });
        empty(reply, removed);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = match flags {
            flags if flags.is_empty() => Flags::None,
            RenameFlags::RENAME_NOREPLACE => Flags::NoReplace,
            _ => Flags::Other,
        };
        let (from, to) = (place(parent, name), place(new_parent, new_name));
        let renamed = self.with(request, |tree, viewer| tree.rename(viewer, from, to, flags));
        empty(reply, renamed);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned());
        let new = creation(request, Kind::File, mode);
        let created = self.with(request, |tree, viewer| {
            let place = place(parent, name);
            let late = if flags.contains(OFlags::EXCL) {
                None
            } else {
                tree.find_late(viewer, place)?
            };
            let stat = match late {
                Some(stat) if flags.contains(OFlags::TRUNC) => {
                    tree.change(viewer, stat.number, Change::Length(0))?;
                    tree.stat(viewer, stat.number)?
                }
                Some(stat) => stat,
                None => tree.create(viewer, place, new)?,
            };
            tree.open(stat.number)?;
            Ok(stat)
        });
        match created {
            Ok(stat) => reply.created(
                &stat.cached,
                &attributes(&stat),
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.tree().open(node.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (offset, size) = (offset as usize, size as usize);
        match self.with(request, |tree, viewer| {
            tree.read(viewer, node.0, offset, size)
        }) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let flags = OFlags::from_bits_retain(flags.0.cast_unsigned());
        let offset = (!flags.contains(OFlags::APPEND)).then_some(offset as usize);
        match self.with(request, |tree, viewer| {
            tree.write(viewer, node.0, offset, data)
        }) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.tree().close(node.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.refusal(Call::Fsync));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.refusal(Call::FsyncFolder));
    }

    fn opendir(&self, request: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.with(request, |tree, viewer| tree.list(viewer, node.0)) {
            Ok(mut listing) => {
                let here = |name: &str, number| (name.into(), number, Kind::Folder);
                listing.insert(0, here(".", node.0));
                listing.insert(1, here("..", ROOT));
                let mut listings = self.listings();
                listings.next += 1;
                let number = listings.next;
                listings.open.insert(number, Arc::new(listing));
                reply.opened(FileHandle(number), FopenFlags::empty());
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = self
            .listings()
            .open
            .get(&handle.0)
            .cloned()
            .unwrap_or_default();
        for (place, (name, node, kind)) in listing.iter().enumerate().skip(offset as usize) {
            let next = place as u64 + 1;
            if reply.add(INodeNo(*node), next, file_type(kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings().open.remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (blocks, files) = (1 << 30, 1 << 20);
        let longest = self.tree().habits().longest_name.unwrap_or(255) as u32;
        reply.statfs(blocks, blocks, blocks, files, files, BLOCK, longest, BLOCK);
    }

    fn setxattr(
        &self,
        _: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let set = self.tree().attributes(node.0).map(|attributes| {
            attributes.insert(name.to_owned(), value.to_owned());
        });
        empty(reply, set);
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut tree = self.tree();
        let attributes = tree.attributes(node.0);
        let value = attributes.and_then(|all| all.get(name).cloned().ok_or(Errno::NODATA));
        sized(reply, value, size);
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let mut tree = self.tree();
        let names = tree.attributes(node.0).map(|attributes| {
            let names = attributes
                .keys()
                .map(|name| [name.as_bytes(), b"\0"].concat());
            names.collect::<Vec<_>>().concat()
        });
        sized(reply, names, size);
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree();
        let attributes = tree.attributes(node.0);
        let removed = attributes.and_then(|all| all.remove(name).ok_or(Errno::NODATA));
        empty(reply, removed.map(drop));
    }

    fn getlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        start: u64,
        end: u64,
        _: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let unlocked = 2; // F_UNLCK
        reply.locked(start, end, unlocked, pid);
    }

    fn setlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        empty(reply, self.refusal(Call::Flock));
    }

    fn fallocate(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let keeps_size = mode == 1; // FALLOC_FL_KEEP_SIZE
        if mode != 0 && !keeps_size {
            return reply.error(fuser::Errno::EOPNOTSUPP);
        }
        let end = (offset + length) as usize;
        let done = self.with(request, |tree, viewer| {
            tree.habits().refusal(Call::Fallocate)?;
            let size = tree.stat(viewer, node.0)?.size as usize;
            if keeps_size || end <= size {
                return Ok(());
            }
            tree.change(viewer, node.0, Change::Length(end))
        });
        empty(reply, done);
    }
}

fn creation(request: &Request, kind: Kind, mode: u32) -> Creation {
    Creation {
        kind,
        mode,
        uid: request.uid(),
        gid: request.gid(),
    }
}

/// Answers with a value, or with its size where that is asked for.
fn sized(reply: ReplyXattr, value: Outcome<Vec<u8>>, size: u32) {
    match value {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(fuser::Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}
