//! A seek index as unpacking leaves it.

use super::{
    contents::{Archive, Contents, Proved, Way},
    extents::Extents,
    format,
    recorder::Recorded,
};
use crate::store::index::format::Header;

/// A seek index whose archive and tree are not known yet.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) recorded: Recorded,
    pub(in crate::store) proved: Proved,
    pub(in crate::store) extents: Extents,
}

impl Draft {
    /// The file `seek` beside this `tree`; `None` if the archive cannot be entered.
    pub(in crate::store) fn encode(self, mut archive: Archive, tree: &Header) -> Option<Vec<u8>> {
        let end = self.recorded.end;
        // More may follow the last member.
        archive.length = archive.length.max(end.input);
        let way = if self.recorded.stored {
            Way::Stored
        } else {
            let (mut points, mut windows) = (self.proved.points, self.proved.windows);
            // Behind the last byte of tar begins at most an empty member.
            points.retain(|point| point.output < end.output);
            windows.truncate(points.last()?.window.end);
            let mut way_points = self.proved.way_points;
            way_points.extend(self.recorded.way_points);
            Way::Gzip {
                points,
                windows,
                way_points,
            }
        };
        let extents = self.extents;
        let contents = Contents {
            archive,
            way,
            end,
            extents,
        };
        let bytes = format::encode(&contents, tree);
        (bytes.len() as u64 <= format::LONGEST).then_some(bytes)
    }
}
