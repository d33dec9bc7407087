//! A raw file and its address, as a user writes them.

use std::path::PathBuf;
use std::str::FromStr;

use covtap_link::TargetAddr;

/// A file that has memory, byte by byte, from an address on: `ram.bin@0x20000000`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawFile {
    /// The file.
    pub path: PathBuf,
    /// The address of its first byte.
    pub addr: TargetAddr,
}

/// It is no `FILE@ADDR`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseRawFileError {
    /// There is no address.
    #[error("no @ADDR after the file, as in ram.bin@0x20000000")]
    NoAddress,
    /// There is no file.
    #[error("no file before the @")]
    NoFile,
}

impl FromStr for RawFile {
    type Err = ParseRawFileError;

    /// The address is what follows the last @: paths may hold one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, addr) = text.rsplit_once('@').ok_or(ParseRawFileError::NoAddress)?;
        let addr = match addr.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => addr.parse(),
        };
        let addr = TargetAddr::new(addr.map_err(|_| ParseRawFileError::NoAddress)?);
        if path.is_empty() { Err(ParseRawFileError::NoFile) } else { Ok(Self { path: path.into(), addr }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hexadecimal_or_decimal() {
        let parsed = |text: &str| text.parse::<RawFile>().map(|raw| (raw.path, raw.addr.get()));
        assert_eq!(parsed("ram.bin@0x20000000"), Ok(("ram.bin".into(), 0x2000_0000)));
        assert_eq!(parsed("a@b/ram.bin@4096"), Ok(("a@b/ram.bin".into(), 4096)));
        assert_eq!(parsed("ram.bin"), Err(ParseRawFileError::NoAddress));
        assert_eq!(parsed("ram.bin@"), Err(ParseRawFileError::NoAddress));
        assert_eq!(parsed("ram.bin@0x1ffffffffffffffff"), Err(ParseRawFileError::NoAddress));
        assert_eq!(parsed("@0x10"), Err(ParseRawFileError::NoFile));
    }
}
