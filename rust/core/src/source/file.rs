//! Local files: opened once, read at any position or as a stream.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Files up to this size are read with one call.
const SMALL: u64 = 64 << 10;

/// What tells files apart under renaming: device and inode. Not available on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Number of the device.
    pub device: u64,
    /// Number of the file on it.
    pub inode: u64,
}

/// A local file opened for scanning: snapshot of its size, its identity, reads at any position.
///
/// Reads do not move a cursor (Unix), so that threads can share the file. A file that grows is scanned up to
/// the size at the opening; one that shrinks gives short reads.
#[derive(Debug)]
pub struct SourceFile {
    handle: Handle,
    /// All bytes of a small file once it was taken in.
    content: Vec<u8>,
    len: u64,
    regular: bool,
    id: Option<FileId>,
    written: Option<i64>,
}

#[derive(Debug)]
enum Handle {
    Open(File),
    /// Opening a pipe waits for its writer, and must not hold up the start of a scan over other files.
    Pipe(PathBuf),
}

impl SourceFile {
    /// Opens the file. A named pipe is only looked at; it is opened by [`into_reader`](Self::into_reader).
    ///
    /// # Errors
    ///
    /// What the operating system says, and [`IsADirectory`](io::ErrorKind::IsADirectory) for a directory,
    /// which some systems open without complaint.
    pub fn open(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        if is_pipe(&metadata) {
            let id = file_id(&metadata);
            return Ok(SourceFile {
                handle: Handle::Pipe(path.into()),
                content: Vec::new(),
                len: 0,
                regular: false,
                id,
                written: None,
            });
        }
        let file = File::open(path)?;
        // Of the open file: the name may stand for another one since the first look.
        let metadata = file.metadata()?;
        let regular = metadata.is_file();
        Ok(SourceFile {
            handle: Handle::Open(file),
            content: Vec::new(),
            len: if regular { metadata.len() } else { 0 },
            regular,
            id: file_id(&metadata),
            written: modified(&metadata),
        })
    }

    /// Size in bytes when the file was opened, 0 for what is no regular file.
    ///
    /// Files in `/proc` are regular, say 0 and have content: where 0 matters, read to the end.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the size was 0 when the file was opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is a regular file. Others (pipes, terminals) are streams: no size, no
    /// [`read_at`](Self::read_at).
    pub fn is_regular(&self) -> bool {
        self.regular
    }

    /// Device and inode, where the platform has them.
    pub fn id(&self) -> Option<FileId> {
        self.id
    }

    /// When it was last written to, in microseconds since 1970, where that is known.
    pub(crate) fn written(&self) -> Option<i64> {
        self.written
    }

    /// Reads at a position, as many bytes as one call gives; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`NotSeekable`](io::ErrorKind::NotSeekable) for what is no regular
    /// file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset < self.content.len() as u64 {
            let rest = &self.content[offset as usize..];
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            return Ok(n);
        }
        let file = match &self.handle {
            Handle::Open(file) if self.regular => file,
            _ => {
                let text = "not a regular file; it can only be read as a stream, from its start";
                return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
            }
        };
        loop {
            match positional_read(file, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The first `n` bytes or more, fewer only if the file has fewer. All of a small file is read at once and
    /// kept, and the reads that follow are answered from memory.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    pub(crate) fn take_in(&mut self, n: usize) -> io::Result<Vec<u8>> {
        if self.len > SMALL {
            return self.head(n);
        }
        self.content = self.head(self.len as usize)?;
        if self.content.len() as u64 != self.len {
            // It became shorter: the reads that follow say so.
            return Ok(std::mem::take(&mut self.content));
        }
        Ok(self.content[..self.content.len().min(n)].to_vec())
    }

    /// The bytes of a small file that was taken in, which it gives away.
    pub(crate) fn content(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.content)).filter(|content| !content.is_empty())
    }

    /// The first `n` bytes, fewer only if the file has fewer.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    pub fn head(&self, n: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; n];
        let mut known = 0;
        while known < n {
            match self.read_at(&mut head[known..], known as u64)? {
                0 => break,
                more => known += more,
            }
        }
        head.truncate(known);
        Ok(head)
    }

    /// The file as a stream from its start, for [`Decompressed`](super::Decompressed). Waits for the writer of a named pipe.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn into_reader(self) -> io::Result<File> {
        match self.handle {
            Handle::Open(mut file) => {
                if self.regular && cfg!(windows) {
                    // Positional reads move the cursor there.
                    io::Seek::rewind(&mut file)?;
                }
                Ok(file)
            }
            Handle::Pipe(path) => File::open(path),
        }
    }
}

#[cfg(unix)]
fn positional_read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn positional_read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

fn modified(metadata: &fs::Metadata) -> Option<i64> {
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

#[cfg(unix)]
fn is_pipe(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn file_id(metadata: &fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some(FileId { device: metadata.dev(), inode: metadata.ino() })
}

#[cfg(not(unix))]
fn file_id(_: &fs::Metadata) -> Option<FileId> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("metricsieve-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            TempDir(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn f8_a_regular_file_is_read_at_positions() {
        let dir = TempDir::new("regular");
        let path = dir.0.join("a.log");
        fs::write(&path, b"0123456789").unwrap();
        let file = SourceFile::open(&path).unwrap();
        assert_eq!((file.len(), file.is_empty(), file.is_regular()), (10, false, true));
        let mut buf = [0; 4];
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(&mut buf, 3).unwrap(), 4);
        assert_eq!(&buf, b"3456");
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.head(3).unwrap(), b"012");
        assert_eq!(file.head(100).unwrap(), b"0123456789");

        // The size is that of the opening; the identity survives renaming.
        let id = file.id();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(file.len(), 10);
        fs::rename(&path, dir.0.join("a.log.1")).unwrap();
        assert_eq!(SourceFile::open(&dir.0.join("a.log.1")).unwrap().id(), id);
        let mut all = String::new();
        file.into_reader().unwrap().read_to_string(&mut all).unwrap();
        assert_eq!(all, "0123456789more");
        assert_eq!(SourceFile::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn b11_a_small_file_is_taken_in_as_it_is_then() {
        let dir = TempDir::new("small");
        let path = dir.0.join("a.log");
        fs::write(&path, b"0123456789").unwrap();
        let mut file = SourceFile::open(&path).unwrap();
        assert_eq!(file.take_in(3).unwrap(), b"012");
        fs::write(&path, b"ab").unwrap();
        let mut buf = [0; 20];
        assert_eq!(file.read_at(&mut buf, 4).unwrap(), 6);
        assert_eq!(&buf[..6], b"456789");
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);

        // One that became shorter before it was taken in is read from the disk, where the end comes early.
        fs::write(&path, b"0123456789").unwrap();
        let mut file = SourceFile::open(&path).unwrap();
        fs::write(&path, b"ab").unwrap();
        assert_eq!(file.take_in(3).unwrap(), b"ab");
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 2);
        assert_eq!(file.read_at(&mut buf, 2).unwrap(), 0);
    }

    #[test]
    fn f8_a_directory_is_an_error() {
        let dir = TempDir::new("directory");
        assert_eq!(SourceFile::open(&dir.0).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[cfg(unix)]
    #[test]
    fn f8_a_pipe_without_a_writer_does_not_hang_the_opening() {
        let dir = TempDir::new("pipe");
        let path = dir.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let file = SourceFile::open(&path).unwrap();
        assert_eq!((file.len(), file.is_regular()), (0, false));
        assert_eq!(file.head(1).unwrap_err().kind(), io::ErrorKind::NotSeekable);
        let writer = std::thread::spawn(move || fs::write(path, b"loss=1\n").unwrap());
        let mut text = String::new();
        file.into_reader().unwrap().read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "loss=1\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn f8_a_proc_file_has_content_though_no_size() {
        let file = SourceFile::open(Path::new("/proc/self/status")).unwrap();
        assert_eq!((file.len(), file.is_regular()), (0, true));
        assert_eq!(file.head(5).unwrap(), b"Name:");
    }

    #[test]
    fn threads_can_share_a_file() {
        fn assert_send<T: Send>() {}
        fn assert_sync<T: Sync>() {}
        assert_send::<SourceFile>();
        assert_sync::<SourceFile>();
    }
}
