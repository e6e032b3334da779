//! Real file systems that a test mounts for itself. Each is unmounted when its value is dropped.

use super::tools::{skip, works};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A mounted file system.
pub struct Mount {
    folder: PathBuf,
    loop_device: Option<String>,
    /// The folder or the image behind the mount.
    _behind: TempDir,
}

impl Mount {
    /// Shows a folder of this mount's own with these options of bindfs.
    pub fn bindfs(options: &[&str]) -> Option<Self> {
        works("bindfs", &["bindfs", "--version"]).then_some(())?;
        let behind = tempfile::tempdir().unwrap();
        std::fs::create_dir(behind.path().join("real")).unwrap();
        let real = behind.path().join("real");
        let mut command = Command::new("bindfs");
        command.args(options).arg(real);
        Self::mounted("bindfs", behind, None, command)
    }

    /// An empty NTFS that refuses the names that Windows refuses.
    pub fn ntfs() -> Option<Self> {
        works("ntfs-3g", &["which", "ntfs-3g", "mkntfs"]).then_some(())?;
        let (behind, image) = image(&["mkntfs", "-F", "-Q"]);
        let mut command = Command::new("ntfs-3g");
        command.args(["-o", "windows_names"]).arg(image);
        Self::mounted("ntfs-3g", behind, None, command)
    }

    /// An empty exFAT, mounted with these options, such as `uid=1234`.
    pub fn exfat(options: &str) -> Option<Self> {
        works("exfat-fuse", &["which", "mount.exfat-fuse", "mkfs.exfat"]).then_some(())?;
        let (behind, image) = image(&["mkfs.exfat"]);
        let losetup = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(image)
            .output();
        let device = losetup.ok().filter(|output| output.status.success());
        let Some(device) = device else {
            skip("exFAT needs a loop device, and there is none");
            return None;
        };
        let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        let mut command = Command::new("mount.exfat-fuse");
        command.args(["-o", options, &device]);
        Self::mounted("exfat-fuse", behind, Some(device), command)
    }

    fn mounted(
        name: &str,
        behind: TempDir,
        loop_device: Option<String>,
        mut command: Command,
    ) -> Option<Self> {
        let folder = behind.path().join("mounted");
        std::fs::create_dir(&folder).unwrap();
        let mount = Self {
            folder,
            loop_device,
            _behind: behind,
        };
        let status = command
            .arg(&mount.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            skip(&format!("{name} cannot mount here"));
            return None;
        }
        Some(mount)
    }

    /// The root folder of the file system.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The names in a folder below the root, sorted.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join(below)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        if let Some(device) = &self.loop_device {
            let _ = Command::new("losetup").args(["-d", device]).status();
        }
    }
}

/// An image file of 32 MiB in which this program has made a file system.
fn image(make: &[&str]) -> (TempDir, PathBuf) {
    let behind = tempfile::tempdir().unwrap();
    let image = behind.path().join("image");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(32 << 20).unwrap();
    let made = Command::new(make[0])
        .args(&make[1..])
        .arg(&image)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    (behind, image)
}
