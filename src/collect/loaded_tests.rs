//! An image that is mapped once, twice, as a file to be read, or not at all.

use std::time::Duration;

use covtap_link::scripted::ScriptedLink;
use covtap_link::{AddrRange, Link, LinkInfo, MappedFiles, ReadMemory, ReadReport, ReadRequest};

use super::*;
use crate::image::ImageAddr;

/// Headers, code, constants, and data that is further on in memory than in the file.
const FILE: &[u8] = include_bytes!("../../tests/fixtures/hosted/clang-19.elf");

const NAME: &str = "built/program.elf";
const FIRST: u64 = 0x7f00_0000_0000;
const SECOND: u64 = 0x7f11_0000_0000;

fn image() -> Image {
    Image::parse(NAME, FILE.to_vec()).unwrap()
}

/// A process that has the file mapped here and there.
#[derive(Default)]
struct Process {
    memory: Vec<(TargetAddr, Vec<u8>)>,
    files: Vec<MappedFile>,
}

impl Process {
    fn map(&mut self, at: u64, file_offset: usize, bytes: &[u8], path: &str) {
        let range = AddrRange::new(TargetAddr::new(at), bytes.len() as u64).unwrap();
        let file_offset = file_offset as u64;
        self.files.push(MappedFile { range, file_offset, path: path.as_bytes().to_vec() });
        self.memory.push((range.start(), bytes.to_vec()));
    }

    /// As a loader maps it, with each segment where its program header says.
    fn load(mut self, slide: u64, path: &str) -> Self {
        let segments = image().file_segments();
        for (n, segment) in segments.iter().enumerate() {
            let start = usize::try_from(segment.offset).unwrap();
            let next = segments.get(n + 1).map_or(FILE.len(), |next| usize::try_from(next.offset).unwrap());
            self.map(segment.start.get() + slide, start, &FILE[start..next], path);
        }
        self
    }

    /// As one that reads it does.
    fn map_whole(mut self, at: u64, path: &str) -> Self {
        self.map(at, 0, FILE, path);
        self
    }

    fn find(self) -> Result<Option<Loaded>, CollectError> {
        let link = MappingLink { memory: ScriptedLink::new(self.memory), files: self.files };
        find_loaded(&mut MeteredLink::new(Box::new(link)), &image())
    }

    fn error(self) -> String {
        self.find().expect_err("not found").to_string()
    }
}

/// A link that tells of mappings.
struct MappingLink {
    memory: ScriptedLink,
    files: Vec<MappedFile>,
}

impl ReadMemory for MappingLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.memory.read_many(reads)
    }
}

impl MappedFiles for MappingLink {
    fn files(&mut self) -> Result<Vec<MappedFile>, LinkError> {
        Ok(self.files.clone())
    }
}

impl Link for MappingLink {
    fn info(&self) -> LinkInfo {
        self.memory.info()
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.memory.detach()
    }

    fn mapped_files(&mut self) -> Option<&mut dyn MappedFiles> {
        Some(self)
    }
}

#[test]
fn an_image_is_found_by_what_it_is_and_not_by_its_path() {
    let mut process = Process::default();
    process.map(0x1000, 0, &[1; 0x2000], "/usr/bin/other");
    let found = process.load(FIRST, "/opt/deployed").find().unwrap().unwrap();
    assert_eq!((found.slide, found.path.as_str()), (Slide::new(FIRST), "/opt/deployed"));
    assert_eq!(found.at, found.slide.apply(image().file_segments()[0].start, image().pointer_width()));
}

#[test]
fn a_file_that_is_mapped_to_be_read_is_not_the_loaded_one() {
    for loaded_first in [true, false] {
        let process = Process::default();
        let found = if loaded_first {
            process.load(FIRST, NAME).map_whole(SECOND, NAME).find()
        } else {
            process.map_whole(SECOND, NAME).load(FIRST, NAME).find()
        };
        assert_eq!(found.unwrap().unwrap().slide, Slide::new(FIRST));
    }
}

#[test]
fn an_image_that_is_loaded_twice_is_refused_with_both_places() {
    let error = Process::default().load(FIRST, NAME).load(SECOND, NAME).error();
    assert!(
        error.ends_with("loaded more than once, by slide at 2 places: 0x7f0000000000, 0x7f1100000000"),
        "{error}"
    );
}

#[test]
fn another_build_of_the_same_name_is_said() {
    let error = Process::default().error();
    assert!(error.ends_with("none of the 0 files that it has mapped is this build"), "{error}");
    let mut other = Process::default().load(FIRST, "/opt/program.elf (deleted)");
    let id = image().identity().build_id.unwrap();
    let last = ImageAddr::new(id.address.get() + id.note.len() as u64 - 1);
    for (start, bytes) in &mut other.memory {
        let inside = (last.get() + FIRST).checked_sub(start.get()).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = inside.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
    }
    let error = other.error();
    let expected = format!(
        "; /opt/program.elf (deleted) at {:#x}: the target has the build id ",
        FIRST + image().file_segments()[0].start.get()
    );
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_link_that_knows_no_files_says_nothing() {
    let mut link = MeteredLink::new(Box::new(ScriptedLink::new([])));
    assert_eq!(find_loaded(&mut link, &image()).unwrap(), None);
}
