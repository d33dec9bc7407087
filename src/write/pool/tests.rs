use std::os::unix::fs::symlink;
use std::thread;

use super::*;
use crate::image::{Image, Slide};
use crate::locate::llvm::{Located, locate};
use crate::write::profraw::{Style, encode};

const ELF: &[u8] = include_bytes!("../../../tests/fixtures/hosted/clang-19.elf");
const PROFILE: &[u8] = include_bytes!("../../../tests/fixtures/hosted/clang-19.profraw");
const OTHER: &[u8] = include_bytes!("../../../tests/fixtures/hosted/rustc.profraw");

struct Scene {
    dir: tempfile::TempDir,
    located: Located,
}

impl Scene {
    fn new() -> Self {
        let located = locate(&Image::parse("fixture", ELF.to_vec()).unwrap(), Slide::ZERO).unwrap();
        Self { dir: tempfile::tempdir().unwrap(), located }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("1_0.profraw")
    }

    /// Both forms of a profile whose counters are all this.
    fn forms(&self, count: u64) -> Vec<Vec<u8>> {
        let len = usize::try_from(self.located.regions[0].range.len_bytes()).unwrap();
        let regions = [count.to_le_bytes().repeat(len / 8)];
        let styles = [Style::RuntimeIdentical { slide: Slide::ZERO }, Style::Normalised];
        styles.iter().map(|style| encode(&self.located.image, &regions, *style).unwrap()).collect()
    }

    fn add(&self, pool: &mut Pool, count: u64) -> Result<(), PoolError> {
        pool.add(&self.path(), &self.forms(count))
    }

    /// What all counters are that are in the file.
    fn count(&self) -> u64 {
        let bytes = fs::read(self.path()).unwrap();
        let parts = same_parts(&self.forms(0)[0], &bytes).unwrap();
        let counters = bytes[parts.counters].chunks(8);
        let mut counts: Vec<_> = counters.map(|it| u64::from_le_bytes(it.try_into().unwrap())).collect();
        counts.dedup();
        assert_eq!(counts.len(), 1, "{counts:?}");
        counts[0]
    }

    fn refused(&self) -> String {
        let before = fs::read(self.path()).ok();
        let error = self.add(&mut Pool::default(), 1).unwrap_err().to_string();
        assert_eq!(fs::read(self.path()).ok(), before);
        let early = Pool::check(&self.path(), &self.forms(0)).unwrap_err().to_string();
        assert_eq!(early, error);
        error
    }
}

#[test]
fn each_snapshot_adds_what_was_counted_since() {
    let scene = Scene::new();
    let mut pool = Pool::default();
    for (count, sum) in [(5, 5), (7, 7), (7, 7), (6, 7), (9, 9)] {
        scene.add(&mut pool, count).unwrap();
        assert_eq!(scene.count(), sum);
    }
    // Another session adds all of its own.
    let mut other = Pool::default();
    scene.add(&mut other, 100).unwrap();
    scene.add(&mut pool, 10).unwrap();
    scene.add(&mut other, 101).unwrap();
    assert_eq!(scene.count(), 111);
    pool.begin_anew();
    scene.add(&mut pool, 3).unwrap();
    scene.add(&mut pool, 4).unwrap();
    assert_eq!(scene.count(), 115);
    assert_eq!(fs::read_dir(scene.dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_keeps_the_form_that_it_has() {
    let scene = Scene::new();
    for form in scene.forms(2) {
        fs::write(scene.path(), &form).unwrap();
        scene.add(&mut Pool::default(), 3).unwrap();
        assert_eq!(scene.count(), 5);
        let found = fs::read(scene.path()).unwrap();
        let parts = RawParts::of(&form).unwrap();
        assert_eq!(found[..parts.counters.start], form[..parts.counters.start]);
        assert_eq!(found[parts.counters.end..], form[parts.counters.end..]);
    }
    // Values of a runtime's follow the names.
    let mut longer = scene.forms(2)[0].clone();
    longer.extend([7; 64]);
    fs::write(scene.path(), &longer).unwrap();
    scene.add(&mut Pool::default(), 3).unwrap();
    assert_eq!(fs::read(scene.path()).unwrap()[longer.len() - 64..], [7; 64]);
}

#[test]
fn one_that_was_taken_away_gets_what_came_since() {
    let scene = Scene::new();
    let mut pool = Pool::default();
    scene.add(&mut pool, 5).unwrap();
    fs::remove_file(scene.path()).unwrap();
    scene.add(&mut pool, 7).unwrap();
    assert_eq!(scene.count(), 2);
    // Another name has nothing yet.
    let other = scene.dir.path().join("other.profraw");
    pool.add(&other, &scene.forms(8)).unwrap();
    fs::rename(other, scene.path()).unwrap();
    assert_eq!(scene.count(), 8);
}

#[test]
fn an_empty_file_is_filled_where_it_is() {
    let scene = Scene::new();
    fs::write(scene.path(), "").unwrap();
    let inode = fs::metadata(scene.path()).unwrap().ino();
    let mut pool = Pool::default();
    scene.add(&mut pool, 4).unwrap();
    scene.add(&mut pool, 5).unwrap();
    assert_eq!(scene.count(), 5);
    assert_eq!(fs::metadata(scene.path()).unwrap().ino(), inode);
}

#[test]
fn one_that_was_filled_in_part_is_filled_anew() {
    let scene = Scene::new();
    let mut whole = scene.forms(9)[0].clone();
    whole[..8].fill(0);
    for len in [8, 16, 100, whole.len() - 1, whole.len()] {
        fs::write(scene.path(), &whole[..len]).unwrap();
        scene.add(&mut Pool::default(), 4).unwrap();
        assert_eq!(scene.count(), 4);
    }
}

#[test]
fn what_is_no_profile_of_this_program_stays_as_it_is() {
    let scene = Scene::new();
    let why = |content: &[u8]| {
        fs::write(scene.path(), content).unwrap();
        let error = scene.refused();
        let start = format!("merge into {}: it is no profile of this program: ", scene.path().display());
        error.strip_prefix(&start).map(str::to_owned).unwrap_or(error)
    };
    assert_eq!(why(OTHER), "its NumData is 4, not 3");
    assert_eq!(why(b"garbage, and more than eight bytes of it"), "at offset 0x0: no raw profile begins here");
    assert_eq!(why(&[0; 200]), "at offset 0x0: no raw profile begins here");
    assert_eq!(why(b"x"), "at offset 0x0: no raw profile begins here");
    assert!(why(&PROFILE[..100]).contains("truncated header"));
    assert!(why(&PROFILE[..PROFILE.len() - 1]).contains("truncated padding after names"));
    let mut damaged = PROFILE.to_vec();
    damaged[40..48].fill(0xff);
    assert!(why(&damaged).starts_with(&format!("its NumCounters is {}, not ", u64::MAX)));
}

#[test]
fn what_is_no_file_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.path()).unwrap();
    assert!(scene.refused().contains("open it to merge: Is a directory"));
    fs::remove_dir(scene.path()).unwrap();
    nix::unistd::mkfifo(&scene.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Pool::check(&scene.path(), &scene.forms(0)).unwrap_err().to_string();
    assert!(error.ends_with("open it to merge: it is no regular file"), "{error}");
    fs::remove_file(scene.path()).unwrap();
    symlink("nowhere", scene.path()).unwrap();
    let error = scene.add(&mut Pool::default(), 1).unwrap_err().to_string();
    assert!(error.ends_with("open it to merge: it comes and goes"), "{error}");
}

/// All begin at once, and some of them with no file.
#[test]
fn what_many_add_is_the_sum() {
    const SNAPSHOTS: u64 = 50;
    let scene = Scene::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut pool = Pool::default();
                (1..=SNAPSHOTS).for_each(|count| scene.add(&mut pool, count).unwrap());
            });
        }
    });
    assert_eq!(scene.count(), 4 * SNAPSHOTS);
    assert_eq!(fs::read_dir(scene.dir.path()).unwrap().count(), 1);
}
