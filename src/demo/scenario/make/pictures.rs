//! Pictures, as PNGs.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write as _;

/// A PNG of `width` times `height` pixels, RGB.
fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0); // no filter
        (0..width).for_each(|x| rows.extend(pixel(x, y)));
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let _ = zlib.write_all(&rows); // a Vec takes all
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits, RGB, the only methods there are
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &zlib.finish().unwrap_or_default());
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(data);
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(name);
    png.extend(data);
    png.extend(crc.sum().to_be_bytes());
}

/// A bar chart of some values, largest 100, as a PNG.
pub(super) fn bars(values: &[u32]) -> Vec<u8> {
    let width = values.len() as u32 * 24 + 8;
    png(width, 120, |x, y| {
        let (bar, inside) = (x.saturating_sub(8) / 24, x.saturating_sub(8) % 24);
        let value = values.get(bar as usize).copied().unwrap_or(0);
        if x >= 8 && inside < 16 && y < 112 && 112 - y <= value {
            [46, 112 + (bar * 9 % 60) as u8, 170]
        } else if y == 112 {
            [90, 90, 96]
        } else {
            [250, 250, 248]
        }
    })
}

/// A round mark on a soft gradient, as a PNG.
pub(super) fn mark(size: u32, hue: u8) -> Vec<u8> {
    png(size, size, |x, y| {
        let centre = i64::from(size) / 2;
        let (dx, dy) = (i64::from(x) - centre, i64::from(y) - centre);
        let inside = dx * dx + dy * dy < centre * centre * 6 / 10;
        let shade = (y * 120 / size) as u8;
        if inside {
            [hue, 90 + shade, 200 - shade]
        } else {
            [244, 244 - shade / 8, 238]
        }
    })
}
