//! Makes contents: tables, pictures, and numbers that look found.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::{fmt::Write as _, io::Write as _};

/// Numbers that are the same each time (xorshift64*, Vigna 2016).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number under `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

const REGIONS: [&str; 5] = ["North", "South", "East", "West", "Online"];
const PRODUCTS: [(&str, u64); 8] = [
    ("Walnut desk", 64_900),
    ("Oak shelf", 18_900),
    ("Reading lamp", 7_450),
    ("Linen curtain", 5_995),
    ("Office chair", 32_900),
    ("Wool rug", 24_500),
    ("Ceramic vase", 3_950),
    ("Wall clock", 4_990),
];

/// Orders of a furniture shop as CSV; raw ones have what needs cleaning:
/// repeated rows, gaps, two ways to write a date.
pub(super) fn orders(rows: u64, seed: u64, raw: bool) -> String {
    let mut dice = Dice::new(seed);
    let mut csv = String::from("order_id,date,region,product,quantity,unit_price,total\n");
    for row in 0..rows {
        let (product, cents) = dice.pick(&PRODUCTS);
        let quantity = 1 + dice.below(6);
        let (month, day) = (1 + row * 12 / rows, 1 + dice.below(28));
        let mut region = dice.pick(&REGIONS);
        let mut date = format!("2025-{month:02}-{day:02}");
        let flaw = dice.below(12);
        if raw && flaw == 0 {
            region = "";
        } else if raw && flaw == 1 {
            date = format!("{day}.{month}.2025");
        }
        let line = format!(
            "{},{date},{region},{product},{quantity},{},{}",
            48_000 + row,
            euros(cents),
            euros(cents * quantity)
        );
        let _ = writeln!(csv, "{line}");
        if raw && flaw == 2 {
            let _ = writeln!(csv, "{line}");
        }
    }
    csv
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A PNG of `width` times `height` pixels, RGB.
pub(super) fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
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
