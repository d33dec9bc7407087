//! What `llvm-profdata` finds in a profile, and what we think is in it, in one form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use covtap::locate::llvm::LlvmImage;
use covtap::profile;
use covtap::profile::llvm::LlvmProfile;
use covtap_testbed as testbed;

/// Counts and bitmap by name and hash.
pub(crate) type Functions = BTreeMap<(String, u64), (Vec<u64>, Vec<u8>)>;

/// What a version's tool reads from a profile.
pub(crate) fn read_back(profdata: &str, dir: &Path, profile: &[u8]) -> Functions {
    let path = dir.join("read-back.profraw");
    fs::write(&path, profile).unwrap();
    parse(&testbed::run(profdata, ["merge", "--text", path.to_str().unwrap(), "-o", "-"]).unwrap())
}

/// What covtap itself reads from a profile.
pub(crate) fn read_by_covtap(profile: &[u8]) -> Functions {
    let profile = profile::read("read-back.profraw", profile).unwrap();
    assert_eq!(profile.conflicts(), []);
    let entry = |(name, function): (&[u8], profile::llvm::Function<'_>)| {
        let key = (String::from_utf8(name.to_vec()).unwrap(), function.func_hash);
        (key, (function.counts.to_vec(), function.bitmap.to_vec()))
    };
    profile.functions().map(entry).collect()
}

/// What a profile of ours holds.
pub(crate) fn of_profile(image: &LlvmImage, profile: &LlvmProfile) -> Functions {
    let function = |function: covtap::profile::llvm::Function<'_>| {
        let name = image.names().get(function.name_ref).unwrap();
        let key = (String::from_utf8(name.to_vec()).unwrap(), function.func_hash);
        (key, (function.counts.to_vec(), function.bitmap.to_vec()))
    };
    profile.functions().map(function).collect()
}

/// ```text
/// name
/// # Func Hash:
/// 24
/// # Num Counters:
/// 2
/// # Counter Values:
/// 5
/// 3
/// # Num Bitmap Bytes:
/// $1
/// # Bitmap Byte Values:
/// 0x5
/// ```
fn parse(text: &str) -> Functions {
    let mut functions = Functions::new();
    for function in text.split("\n\n").filter(|function| !function.trim().is_empty()) {
        let mut lines = function.lines().filter(|line| !line.starts_with(['#', ':']) && !line.is_empty());
        let Some(name) = lines.next() else { continue };
        let hash = lines.next().unwrap().parse().unwrap();
        let count: usize = lines.next().unwrap().parse().unwrap();
        let counts: Vec<u64> = lines.by_ref().take(count).map(|line| line.parse().unwrap()).collect();
        assert_eq!(counts.len(), count);
        let bitmap = lines
            .filter_map(|line| line.strip_prefix("0x"))
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        functions.insert((name.to_owned(), hash), (counts, bitmap));
    }
    functions
}
