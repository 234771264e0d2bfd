//! A found case as the ledger stores it: its JSON, packed, since field names make up most of it.

use super::fault::{Fault, Res};
use crate::domain::Error;
use crate::domain::case::FoundCase;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

/// No case comes near this: a body that claims more is damaged.
const MOST: usize = 1 << 30;

/// Packs many cases, one after the other.
pub(super) struct Packer {
    json: Vec<u8>,
    zstd: Compressor<'static>,
}

impl Packer {
    pub fn new() -> Res<Self> {
        Ok(Self {
            json: Vec::new(),
            // The fastest level: a scan packs every case it finds.
            zstd: Compressor::new(1).map_err(unpackable)?,
        })
    }

    /// Takes a case in hand, and says what tells whether it changed; of the JSON, since packing may differ between
    /// versions.
    pub fn take(&mut self, case: &FoundCase) -> Res<[u8; 16]> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, case)?;
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&self.json)[..16]);
        Ok(digest)
    }

    /// The body of the case taken last.
    pub fn pack(&mut self) -> Res<Vec<u8>> {
        self.zstd.compress(&self.json).map_err(unpackable)
    }
}

pub(super) fn unpack(body: &[u8]) -> Res<FoundCase> {
    Ok(serde_json::from_slice(&unpacked(body)?)?)
}

/// Other bytes, packed as a case is.
pub(super) fn packed(bytes: &[u8]) -> Res<Vec<u8>> {
    zstd::bulk::compress(bytes, 1).map_err(unpackable)
}

/// What [`packed`] packed.
pub(super) fn unpacked(body: &[u8]) -> Res<Vec<u8>> {
    let size = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
    let size = size.and_then(|s| usize::try_from(s).ok()).filter(|s| *s <= MOST);
    let size = size.ok_or_else(|| unpackable("it is damaged"))?;
    zstd::bulk::decompress(body, size).map_err(unpackable)
}

fn unpackable(why: impl std::fmt::Display) -> Fault {
    Error::failed(format!("what a scan found cannot be read from the ledger: {why}"))
        .cure("was the file edited by hand? a new scan writes it again")
        .into()
}
