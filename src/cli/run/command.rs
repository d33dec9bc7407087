//! A guest's command line: which program it starts, which ELF the guest runs, and what stands in for `{elf}` and `{args}`.
//!
//! ```text
//! covtap run -- qemu-system-x86_64 -kernel {elf} --     target/debug/deps/queue-1a2b --nocapture
//!               `------------- command --------'        `- Cargo adds these: the ELF, and {args}
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use memchr::memmem;

use crate::cli::programs::ElfArg;

const ELF: &str = "{elf}";
const ARGS: &str = "{args}";

/// A command that cannot be run, or not with coverage.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CommandError {
    /// Nothing follows the `--`.
    #[error("run a guest: there is no command before the second --")]
    Empty,
    /// Nothing says which ELF the guest runs.
    #[error("run {program}: it is not said which ELF the guest runs: there is no --elf and no -kernel")]
    NoElf {
        /// The program, as the user wrote it.
        program: String,
    },
    /// The command has a place for an ELF, and none was given.
    #[error("run {program}: nothing was given for {{elf}}")]
    NothingForElf {
        /// The program, as the user wrote it.
        program: String,
    },
    /// An option that takes QEMU out of covtap's hands.
    #[error("run {program}: {option} lets go of the guest, and covtap would not see its end")]
    Daemon {
        /// The program, as the user wrote it.
        program: String,
        /// The option.
        option: String,
    },
    /// An option that keeps QEMU when the guest has ended.
    #[error("run {program}: {option} keeps QEMU when its guest has ended, and covtap would wait for its end")]
    Stays {
        /// The program, as the user wrote it.
        program: String,
        /// The option.
        option: String,
    },
}

/// A command line that was checked.
#[derive(Debug)]
pub(super) struct GuestCommand {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) elves: Vec<ElfArg>,
    /// Whether the user wants the guest to stay paused.
    pub(super) starts_paused: bool,
    unused: Vec<OsString>,
}

impl GuestCommand {
    /// Takes apart what follows the first `--`. `elves` are those that were given by `--elf`; there may be none if the
    /// guest need not be known.
    pub(super) fn new(words: &[OsString], elves: &[ElfArg], needs_elf: bool) -> Result<Self, CommandError> {
        let mut halves = words.splitn(2, |word| word == "--");
        let (command, mut added) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let (program, args) = command.split_first().ok_or(CommandError::Empty)?;
        let name = || program.to_string_lossy().into_owned();
        let mut elves = elves.to_vec();
        if elves.is_empty() && has(args, ELF) {
            let (first, others) =
                added.split_first().ok_or_else(|| CommandError::NothingForElf { program: name() })?;
            added = others;
            elves.push(ElfArg { path: first.into(), slide: None });
        }
        if elves.is_empty() {
            let kernel = kernel(args);
            if kernel.is_none() && needs_elf {
                return Err(CommandError::NoElf { program: name() });
            }
            elves.extend(kernel.map(|path| ElfArg { path, slide: None }));
        }
        if let Some(option) = args.iter().find(|word| is_option(word, "daemonize")) {
            let option = option.to_string_lossy().into_owned();
            return Err(CommandError::Daemon { program: name(), option });
        }
        if let Some(option) = keeps_qemu(args) {
            return Err(CommandError::Stays { program: name(), option });
        }
        let elf = elves.first().map(|elf| elf.path.clone().into_os_string()).unwrap_or_default();
        let unused = if has(args, ARGS) { Vec::new() } else { added.to_vec() };
        let joined = added.join(OsStr::new(" "));
        Ok(Self {
            program: program.clone(),
            args: args.iter().map(|word| replace(&replace(word, ELF, &elf), ARGS, &joined)).collect(),
            elves,
            starts_paused: args.iter().any(|word| is_option(word, "S")),
            unused,
        })
    }

    /// The program, for a message.
    pub(super) fn program_name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// What is said of words that have no place in the command.
    pub(super) fn left_out(&self) -> Option<String> {
        let words: Vec<_> = self.unused.iter().map(|word| word.to_string_lossy()).collect();
        (!words.is_empty())
            .then(|| format!("left out, for want of {ARGS} in the command: {}", words.join(" ")))
    }
}

/// Whether a word is this option; QEMU takes both dashes.
fn is_option(word: &OsStr, name: &str) -> bool {
    let word = word.as_bytes();
    word.strip_prefix(b"--").or_else(|| word.strip_prefix(b"-")) == Some(name.as_bytes())
}

/// The option that has QEMU stay, paused, when the guest ends.
fn keeps_qemu(args: &[OsString]) -> Option<String> {
    if let Some(option) = args.iter().find(|word| is_option(word, "no-shutdown")) {
        return Some(option.to_string_lossy().into_owned());
    }
    let pairs = args.iter().zip(args.iter().skip(1));
    let keeps =
        |value: &OsStr| value.as_bytes().split(|byte| *byte == b',').any(|it| it == b"shutdown=pause");
    let mut actions = pairs.filter(|(option, _)| is_option(option, "action"));
    let (option, value) = actions.find(|(_, value)| keeps(value))?;
    Some(format!("{} {}", option.to_string_lossy(), value.to_string_lossy()))
}

fn kernel(args: &[OsString]) -> Option<PathBuf> {
    let at = args.iter().position(|word| is_option(word, "kernel"))?;
    args.get(at.checked_add(1)?).map(PathBuf::from)
}

fn has(words: &[OsString], what: &str) -> bool {
    words.iter().any(|word| memmem::find(word.as_bytes(), what.as_bytes()).is_some())
}

/// `word` with every `what` in it replaced by `with`.
fn replace(word: &OsStr, what: &str, with: &OsStr) -> OsString {
    let (mut rest, mut replaced) = (word.as_bytes(), Vec::new());
    while let Some(at) = memmem::find(rest, what.as_bytes()) {
        let (before, after) = rest.split_at(at);
        replaced.extend_from_slice(before);
        replaced.extend_from_slice(with.as_bytes());
        rest = after.get(what.len()..).unwrap_or_default();
    }
    replaced.extend_from_slice(rest);
    OsString::from_vec(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str, elves: &[&str]) -> Result<GuestCommand, CommandError> {
        let words: Vec<OsString> = line.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
        let elves: Vec<_> = elves.iter().map(|elf| ElfArg::parse(elf).expect("an ELF")).collect();
        GuestCommand::new(&words, &elves, true)
    }

    /// What is run, and the first ELF.
    fn resolved(line: &str, elves: &[&str]) -> (String, String) {
        let command = command(line, elves).expect("a command");
        let args = command.args.join(OsStr::new(" ")).to_string_lossy().into_owned();
        (args, command.elves[0].path.display().to_string())
    }

    #[test]
    fn the_elf_is_what_elf_says_else_what_cargo_adds_else_the_kernel() {
        let cases: [(&str, &[&str], &str, &str); 5] = [
            ("qemu -kernel a.elf -m 64", &[], "-kernel a.elf -m 64", "a.elf"),
            ("qemu --kernel a.bin", &["a.elf"], "--kernel a.bin", "a.elf"),
            ("qemu -kernel {elf}", &["a.elf@0x10"], "-kernel a.elf", "a.elf"),
            (
                "qemu -device loader,file={elf} -- dir@1/a.elf",
                &[],
                "-device loader,file=dir@1/a.elf",
                "dir@1/a.elf",
            ),
            ("qemu -append {args} -kernel {elf} -- a.elf b c", &[], "-append b c -kernel a.elf", "a.elf"),
        ];
        for (line, elves, args, elf) in cases {
            assert_eq!(resolved(line, elves), (args.to_owned(), elf.to_owned()), "{line}");
        }
    }

    #[test]
    fn what_has_no_place_is_said() {
        let left_out = |line| command(line, &[]).expect("a command").left_out();
        assert_eq!(left_out("qemu -kernel {elf} -- a.elf"), None);
        assert_eq!(left_out("qemu -kernel {elf} -append {args} -- a.elf --nocapture"), None);
        let said = left_out("qemu -kernel {elf} -- a.elf --nocapture x").expect("two words");
        assert_eq!(said, "left out, for want of {args} in the command: --nocapture x");
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let cases = [
            ("-- a.elf", "run a guest: there is no command before the second --"),
            (
                "qemu -m 64",
                "run qemu: it is not said which ELF the guest runs: there is no --elf and no -kernel",
            ),
            (
                "qemu -kernel",
                "run qemu: it is not said which ELF the guest runs: there is no --elf and no -kernel",
            ),
            ("qemu -kernel {elf} --", "run qemu: nothing was given for {elf}"),
            (
                "qemu -kernel a --daemonize",
                "run qemu: --daemonize lets go of the guest, and covtap would not see its end",
            ),
            (
                "qemu -kernel a -no-shutdown",
                "run qemu: -no-shutdown keeps QEMU when its guest has ended, and covtap would wait for its end",
            ),
            (
                "qemu -kernel a -action reboot=shutdown,shutdown=pause",
                "run qemu: -action reboot=shutdown,shutdown=pause keeps QEMU when its guest has ended, and covtap would wait \
                 for its end",
            ),
        ];
        for (line, message) in cases {
            assert_eq!(command(line, &[]).expect_err(line).to_string(), message);
        }
    }

    #[test]
    fn what_only_looks_like_an_option_that_keeps_qemu_is_run() {
        for line in ["qemu -kernel a -append no-shutdown", "qemu -kernel a -action shutdown=poweroff"] {
            assert!(command(line, &[]).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_guest_that_need_not_be_known_has_no_elf() {
        let words = ["qemu", "-m", "64"].map(OsString::from);
        let command = GuestCommand::new(&words, &[], false).expect("a command");
        assert!(command.elves.is_empty());
        assert_eq!(command.args, ["-m", "64"]);
    }

    #[test]
    fn a_guest_that_is_to_stay_paused_does() {
        assert!(command("qemu -S -kernel a", &[]).expect("a command").starts_paused);
        assert!(!command("qemu -s -kernel a", &[]).expect("a command").starts_paused);
    }
}
