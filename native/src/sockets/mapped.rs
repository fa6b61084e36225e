//! A file in memory, read-only: the map, which is too large to copy.
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};

/// A file's bytes, page-aligned. The file is written once and renamed into place: nobody writes to it afterwards.
#[derive(Debug)]
pub struct MappedFile {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the bytes are only ever read, from any thread.
unsafe impl Send for MappedFile {}
// SAFETY: as above.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps a whole file.
    /// # Errors
    /// Those of opening and mapping; an empty file is `InvalidInput`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is empty"));
        }
        // SAFETY: a fresh private mapping of a descriptor that is open; `length` is not 0.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        let start = if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) };
        let mapped = Self { start: start.ok_or_else(io::Error::last_os_error)?, length };
        mapped.advise(libc::MADV_HUGEPAGE); // fewer TLB misses, where the file system can
        mapped.advise(libc::MADV_WILLNEED); // the proof reads it all
        Ok(mapped)
    }

    fn advise(&self, advice: libc::c_int) {
        // SAFETY: exactly the range that was mapped; advice changes no byte, so that its failure does not matter.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, advice) };
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is mapped and readable until drop, and u8 has no invalid values.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped, and nobody borrows it any longer.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
