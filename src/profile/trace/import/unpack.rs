//! Traces as they are stored: plain, or compressed by gzip or zstd, as the first bytes tell.
//!
//! What enters is a file; what leaves are the bytes that were compressed, with the first of them to look at.
//!
//! What always holds: memory is bounded by the window that a zstd frame may ask for (128 MiB); a frame's checksum is
//! compared. Members and frames that follow each other are one trace, as gzip and zstd have it.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::input::{Fault, Place};

/// What is looked at to tell the form.
const HEAD_BYTES: u64 = 1 << 16;

/// RFC 1952, section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// RFC 8878, section 3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A trace, and its first bytes.
pub(super) struct Unpacked<'a> {
    head: Vec<u8>,
    fault: Option<io::Error>,
    rest: Box<dyn BufRead + 'a>,
}

/// Takes the compression away, if there is any.
pub(super) fn unpack<'a>(input: impl BufRead + 'a) -> Result<Unpacked<'a>, Fault> {
    let stored = Unpacked::new(Box::new(input));
    if stored.head.starts_with(&GZIP) {
        let reader = BufReader::new(MultiGzDecoder::new(stored.into_reader()));
        return Ok(Unpacked::new(Box::new(reader)));
    }
    if stored.head.starts_with(&ZSTD) {
        let reader = BufReader::new(ZstdFrames::new(stored.into_reader()));
        return Ok(Unpacked::new(Box::new(reader)));
    }
    Ok(stored)
}

impl<'a> Unpacked<'a> {
    fn new(mut reader: Box<dyn BufRead + 'a>) -> Self {
        let mut head = Vec::new();
        // What came before an error is there, and may be worth something.
        let fault = Read::take(&mut reader, HEAD_BYTES).read_to_end(&mut head).err();
        Self { head, fault, rest: reader }
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn into_fault(self) -> Option<Fault> {
        self.fault.map(|source| Fault::Read { place: Place::Offset(0), source })
    }

    pub(super) fn into_reader(self) -> Box<dyn BufRead + 'a> {
        let head = Cursor::new(self.head);
        match self.fault {
            Some(fault) => Box::new(BufReader::new(head.chain(Failing(Some(fault))))),
            None => Box::new(head.chain(self.rest)),
        }
    }
}

/// Says what an earlier reading came to.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What zstd frames hold, one after the other.
struct ZstdFrames<R> {
    source: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), is_in_frame: false }
    }

    /// Begins the next frame; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut Read::take(&mut self.source, length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame is wrong"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_in_frame && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
            }
            match self.decoder.read(out)? {
                0 if self.decoder.is_finished() && self.decoder.can_collect() == 0 => self.end()?,
                len => return Ok(len),
            }
        }
    }
}
