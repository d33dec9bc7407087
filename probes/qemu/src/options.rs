//! How a guest is to be read: patience, address space and method.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What the addresses of a read mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum AddressSpace {
    /// Virtual addresses of CPU 0 where it translates them, physical addresses where it does not. The first
    /// read that succeeds decides for as long as the link lives.
    #[default]
    Auto,
    /// Guest-physical addresses, as the machine's memory map has them.
    Physical,
    /// Virtual addresses, as one CPU's page tables (or the lack of them) have them at the moment.
    Virtual {
        /// QEMU's index of the CPU.
        cpu: u32,
    },
}

/// How bytes are fetched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum MethodChoice {
    /// The fastest that the host allows: the process, else the shared file, else the monitor.
    #[default]
    Auto,
    /// Out of the QEMU process, with `process_vm_readv`. Needs the right to trace it.
    Process,
    /// Out of the file behind the guest's memory (`memory-backend-file` or `-memfd` with `share=on`).
    SharedFile,
    /// By QEMU itself, through `pmemsave` and `memsave`.
    Monitor,
}

/// How a link connects and reads.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// For how long a connection is tried.
    pub connect_timeout: Duration,
    /// For how long the monitor may take for one answer.
    pub reply_timeout: Duration,
    /// For how long a translation of a virtual address is used before one page of each contiguous run is
    /// translated again. A guest may change its page tables at any time and tells nobody.
    pub recheck_after: Duration,
    /// What addresses mean.
    pub address_space: AddressSpace,
    /// How bytes are fetched.
    pub method: MethodChoice,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(5),
            recheck_after: Duration::from_secs(1),
            address_space: AddressSpace::default(),
            method: MethodChoice::default(),
        }
    }
}

/// A word that names no address space or no method.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse {what} {text:?}: not one of {known}")]
pub struct ParseOptionError {
    what: &'static str,
    text: String,
    known: &'static str,
}

const METHODS: [(&str, MethodChoice); 4] = [
    ("auto", MethodChoice::Auto),
    ("process", MethodChoice::Process),
    ("shared-file", MethodChoice::SharedFile),
    ("monitor", MethodChoice::Monitor),
];

impl FromStr for MethodChoice {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        METHODS.iter().find(|(word, _)| *word == text).map(|(_, method)| *method).ok_or_else(|| {
            ParseOptionError {
                what: "method",
                text: text.to_owned(),
                known: "auto, process, shared-file, monitor",
            }
        })
    }
}

impl fmt::Display for MethodChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(METHODS.iter().find(|(_, method)| method == self).map_or("auto", |(word, _)| word))
    }
}

impl FromStr for AddressSpace {
    type Err = ParseOptionError;

    /// `auto`, `physical`, `virtual` (of CPU 0) or `virtual:CPU`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseOptionError {
            what: "address space",
            text: text.to_owned(),
            known: "auto, physical, virtual, virtual:CPU",
        };
        match text {
            "auto" => Ok(Self::Auto),
            "physical" => Ok(Self::Physical),
            "virtual" => Ok(Self::Virtual { cpu: 0 }),
            _ => {
                let cpu = text.strip_prefix("virtual:").ok_or_else(wrong)?;
                Ok(Self::Virtual { cpu: cpu.parse().map_err(|_| wrong())? })
            }
        }
    }
}

impl fmt::Display for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Physical => f.write_str("physical"),
            Self::Virtual { cpu } => write!(f, "virtual:{cpu}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_prints_as_it_parses() {
        for (word, method) in METHODS {
            assert_eq!(word.parse(), Ok(method));
            assert_eq!(method.to_string(), word);
        }
        for word in ["auto", "physical", "virtual:0", "virtual:3"] {
            assert_eq!(word.parse::<AddressSpace>().expect(word).to_string(), word);
        }
        assert_eq!("virtual".parse(), Ok(AddressSpace::Virtual { cpu: 0 }));
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "fast".parse::<MethodChoice>().expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "parse method \"fast\": not one of auto, process, shared-file, monitor"
        );
        assert!("virtual:".parse::<AddressSpace>().is_err());
        assert!("virtual:-1".parse::<AddressSpace>().is_err());
    }
}
