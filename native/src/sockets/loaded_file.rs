//! The map's file in memory: read once into huge pages, then read-only.
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use std::ptr::{self, NonNull};

const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A file's bytes, page-aligned, in memory of their own.
///
/// Mapping the file itself would take fewer lines, but most file systems map in pages of 4 KiB, and the TLB
/// misses of looking clients up among hundreds of megabytes cost a tenth of the whole answer. Anonymous
/// memory gets huge pages where the system has them to give, and nobody who writes to the file changes what
/// was proved.
#[derive(Debug)]
pub struct LoadedFile {
    mapping: Mapping,
    length: usize,
}

/// Anonymous memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the bytes are written before anybody else sees them, and then only read, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl LoadedFile {
    /// Reads a whole file.
    /// # Errors
    /// Those of opening, reading and of too little memory; an empty file is `InvalidInput`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is empty"));
        }
        let mut mapping = Mapping::new(length.next_multiple_of(HUGE_PAGE_BYTES))?;
        file.read_exact(&mut mapping.bytes_mut()[..length])?;
        mapping.seal();
        Ok(Self { mapping, length })
    }
}

impl Deref for LoadedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is mapped and readable until drop, and u8 has no invalid values.
        unsafe { std::slice::from_raw_parts(self.mapping.start.as_ptr(), self.length) }
    }
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping, of no file and at no address in particular; `length` is not 0.
        let start = unsafe {
            let (protection, flags) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0)
        };
        let start = if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) };
        let mapping = Self { start: start.ok_or_else(io::Error::last_os_error)?, length };
        // SAFETY: exactly the range that was mapped; advice changes no byte, so that its failure does not
        // matter.
        unsafe { libc::madvise(mapping.start.as_ptr().cast(), length, libc::MADV_HUGEPAGE) };
        Ok(mapping)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the range is mapped, zeroed and writable until it is sealed, and borrowed as the mapping
        // is.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// Writing is an error from now on, whoever does it.
    fn seal(&mut self) {
        // SAFETY: exactly the range that was mapped, to which no reference is left; a failure leaves it
        // writable.
        unsafe { libc::mprotect(self.start.as_ptr().cast(), self.length, libc::PROT_READ) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped, and nobody borrows it any longer.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
