//! The volumes of the demo world: what the agents are given.

use super::{
    super::{
        archive::{File, Maker},
        world::{Kind, VersionSpec, World},
    },
    DAY, HOUR,
    make::{Dice, bars, mark, orders},
};
use serde_json::json;
use std::fmt::Write as _;

/// Adds a storage with versions of (age in seconds, message, author, files), oldest first.
pub(super) fn storage(
    world: &mut World,
    kind: Kind,
    name: &str,
    versions: Vec<(i64, &str, &str, Vec<File>)>,
) {
    let oldest = versions
        .first()
        .map_or(25 * DAY, |version| version.0 + HOUR);
    let made = world.ago(oldest);
    let id = world.add_storage(kind, name);
    if let Some(storage) = world.storages.last_mut() {
        (storage.created_at, storage.updated_at) = (made, made);
    }
    for (age, message, author, files) in versions {
        let at = world.ago(age);
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        // Files are a little older than the version that stored them.
        let files = files.into_iter().enumerate();
        let files = files.map(|(index, file)| file.modified(seconds - 60 - index as u64 % 40));
        let mut spec = VersionSpec::files(files.collect())
            .created_by(author)
            .created_at(at);
        if !message.is_empty() {
            spec = spec.message(message);
        }
        if author.starts_with("agent:") {
            // The trainer runs in a newer sandbox.
            spec = spec.maker(match author {
                "agent:model-trainer" => Maker::RustTar,
                _ => Maker::Sandbox,
            });
        }
        world.add_version(&id, spec);
    }
}

pub(super) fn add(world: &mut World) {
    use Kind::Volume;
    let user = "ada@example.com";
    let markets = (1..=3).map(|month| {
        (
            DAY * (40 - 12 * month),
            MONTHS[month as usize - 1],
            user,
            market(month),
        )
    });
    storage(world, Volume, "market-data", markets.collect());
    let sales = vec![
        (30 * DAY, "Export of the first half", user, raw_sales(600)),
        (9 * DAY, "Export of the whole year", user, raw_sales(1_400)),
    ];
    storage(world, Volume, "raw-sales", sales);
    let content = vec![
        (50 * DAY, "First pages", user, site_content(6)),
        (21 * DAY, "Guides and reference", user, site_content(14)),
        (4 * DAY, "Troubleshooting, new logo", user, site_content(22)),
    ];
    storage(world, Volume, "site-content", content);
    let service = vec![
        (32 * DAY, "main at 4f1c9e2", "ci@example.com", service(1)),
        (15 * DAY, "main at 9b07aa1", "ci@example.com", service(2)),
        (
            2 * DAY,
            "branch refund-rounding",
            "ci@example.com",
            service(3),
        ),
    ];
    storage(world, Volume, "payments-service", service);
    let config = vec![
        (19 * DAY, "", user, shop_config(30)),
        (6 * DAY, "Stricter limits", user, shop_config(12)),
    ];
    storage(world, Volume, "shop-config", config);
    let corpus = vec![(
        35 * DAY,
        "Product texts, English and German",
        user,
        corpus(),
    )];
    storage(world, Volume, "training-corpus", corpus);
    let marks = ["logo.png", "logo-small.png", "favicon.png"];
    let sizes = [160, 64, 32];
    let marks = marks.iter().zip(sizes);
    let mut assets: Vec<File> = marks
        .map(|(name, size)| File::new(*name, mark(size, 214)))
        .collect();
    assets.push(File::new(
        "colours.json",
        pretty(&json!({
            "ink": "#1d2a35", "sand": "#f4efe6", "amber": "#d69a2d", "sea": "#2e70aa",
        })),
    ));
    storage(
        world,
        Volume,
        "brand-assets",
        vec![(70 * DAY, "", user, assets)],
    );
    // One that was cleared, and one that nobody has pushed to yet.
    let cleared = vec![
        (
            12 * DAY,
            "Notes of the kick-off",
            user,
            vec![File::new(
                "notes.txt",
                "Ask finance for the 2024 figures.\n",
            )],
        ),
        (11 * DAY, "Cleared", user, Vec::new()),
    ];
    storage(world, Volume, "scratch", cleared);
    storage(world, Volume, "inbox", Vec::new());
}

const MONTHS: [&str; 3] = [
    "Figures of August",
    "Figures of September",
    "Figures of October",
];

pub(super) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn market(months: i64) -> Vec<File> {
    let mut dice = Dice::new(7);
    let mut prices = String::from("week,segment,units,average_price_eur,share_percent\n");
    for week in 1..=months * 4 {
        for segment in ["desks", "chairs", "lighting", "textiles", "storage"] {
            let (units, price, share) = (
                900 + dice.below(4_000),
                40 + dice.below(300),
                4 + dice.below(28),
            );
            let _ = writeln!(
                prices,
                "2025-W{:02},{segment},{units},{price}.{:02},{share}.{}",
                30 + week,
                dice.below(100),
                dice.below(10)
            );
        }
    }
    let sources = json!({"sources": [
        {"id": "assoc-monthly", "title": "Furniture association, monthly bulletin", "confidence": 0.9},
        {"id": "panel-q3", "title": "Household panel, third quarter", "confidence": 0.7},
        {"id": "own-shop", "title": "Own web shop, order table", "confidence": 1.0},
    ], "months": months});
    vec![
        File::new(
            "README.md",
            "# Market data\n\nWeekly units, prices and shares by segment. One row a week and segment.\nPrices are averages in euros, taxes included. `sources.json` says where each figure is from.\n",
        ),
        File::new("prices.csv", prices),
        File::new("sources.json", pretty(&sources)),
        File::new(
            "notes/überblick.md",
            "# Überblick\n\nDie Zahlen des Panels kommen sechs Wochen später als die des Verbands.\n",
        ),
        File::new("charts/units.png", bars(&[38, 44, 61, 57, 72, 80, 76, 91])),
    ]
}

fn raw_sales(rows: u64) -> Vec<File> {
    vec![
        File::new("export/orders_2025.csv", orders(rows, 11, true)),
        File::new(
            "export/regions.csv",
            "code,name\nN,North\nS,South\nE,East\nW,West\nO,Online\n",
        ),
        File::new(
            "SCHEMA.txt",
            "order_id    integer, unique after cleaning\ndate        ISO 8601, but older tills write D.M.YYYY\nregion      may be empty for orders by phone\nunit_price  euros, dot as decimal sign\n",
        ),
    ]
}

pub(super) const TOPICS: [&str; 11] = [
    "Getting started",
    "Installation",
    "Configuration",
    "Orders",
    "Refunds",
    "Webhooks",
    "Permissions",
    "Rate limits",
    "Exports",
    "Troubleshooting",
    "Glossary",
];

pub(super) fn slug(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

fn site_content(pages: usize) -> Vec<File> {
    let mut files: Vec<File> = (0..pages)
        .map(|page| {
            let topic = TOPICS[page % TOPICS.len()];
            let (folder, kind) = match page / TOPICS.len() {
                0 => ("guides", "guide"),
                _ => ("reference", "reference"),
            };
            let text = format!(
                "---\ntitle: {topic}\nkind: {kind}\norder: {page}\n---\n\n# {topic}\n\n\
                 This {kind} explains {} for people who run a shop.\n\n\
                 ## Before you begin\n\n- You need an account with the *manager* role.\n\
                 - Changes take effect within a minute.\n\n## Step by step\n\n\
                 1. Open **Settings** and choose **{topic}**.\n2. Make your changes.\n\
                 3. Save, and check the result in the activity log.\n",
                topic.to_lowercase()
            );
            File::new(format!("{folder}/{}.md", slug(topic)), text)
        })
        .collect();
    files.push(File::new(
        "site.json",
        pretty(&json!({"title": "Shop manual", "language": "en", "pages": pages})),
    ));
    files.push(File::new(
        "images/logo.png",
        mark(if pages > 20 { 128 } else { 96 }, 214),
    ));
    files.push(
        File::new(
            "build.sh",
            "#!/bin/sh\nset -eu\nexec node tools/build.mjs \"$@\"\n",
        )
        .executable(),
    );
    files
}

const REFUND: [&str; 3] = [
    "    return round(amount * share, 2)",
    "    cents = int(amount * 100 * share)\n    return cents / 100",
    "    cents = (Decimal(str(amount)) * 100 * Decimal(str(share))).quantize(Decimal(1), ROUND_HALF_UP)\n    return cents / 100",
];

fn service(version: usize) -> Vec<File> {
    let refund = REFUND[version - 1];
    let mut files = vec![
        File::new(
            "README.md",
            "# payments-service\n\nTakes payments and gives refunds. Run `./scripts/test` before every commit.\n",
        ),
        File::new(
            "pyproject.toml",
            format!(
                "[project]\nname = \"payments-service\"\nversion = \"1.{version}.0\"\nrequires-python = \">=3.12\"\ndependencies = [\"httpx>=0.27\", \"pydantic>=2.7\"]\n"
            ),
        ),
        File::new(
            "scripts/test",
            "#!/bin/sh\nset -eu\ncd \"$(dirname \"$0\")/..\"\nexec python -m pytest -q \"$@\"\n",
        )
        .executable(),
        File::symlink("scripts/check", "test"),
        File::new(
            "scripts/release",
            "#!/bin/sh\nset -eu\ngit tag \"v$1\"\ngit push origin \"v$1\"\n",
        )
        .executable(),
        File::new(
            "payments/__init__.py",
            "\"\"\"Payments and refunds.\"\"\"\n",
        ),
        File::new(
            "payments/refund.py",
            format!(
                "\"\"\"Partial refunds.\"\"\"\n\nfrom decimal import ROUND_HALF_UP, Decimal\n\n\ndef partial(amount: float, share: float) -> float:\n    \"\"\"What a customer gets back of `amount`, to the cent.\"\"\"\n{refund}\n"
            ),
        ),
        File::new(
            "payments/ledger.py",
            "\"\"\"An append-only ledger.\"\"\"\n\nfrom dataclasses import dataclass, field\n\n\n@dataclass\nclass Ledger:\n    entries: list[tuple[str, int]] = field(default_factory=list)\n\n    def post(self, account: str, cents: int) -> None:\n        self.entries.append((account, cents))\n\n    def balance(self, account: str) -> int:\n        return sum(cents for name, cents in self.entries if name == account)\n",
        ),
        File::new("payments/providers/__init__.py", ""),
        File::new(
            "payments/providers/card.py",
            "\"\"\"Card payments.\"\"\"\n\n\ndef masked(number: str) -> str:\n    return \"•\" * (len(number) - 4) + number[-4:]\n",
        ),
        File::new(
            "tests/test_refund.py",
            "from payments.refund import partial\n\n\ndef test_half_a_cent_goes_up():\n    assert partial(0.05, 0.5) == 0.03\n\n\ndef test_whole():\n    assert partial(19.99, 1) == 19.99\n",
        ),
        File::new(
            "tests/test_ledger.py",
            "from payments.ledger import Ledger\n\n\ndef test_balance():\n    ledger = Ledger()\n    ledger.post(\"cash\", 500)\n    ledger.post(\"cash\", -120)\n    assert ledger.balance(\"cash\") == 380\n",
        ),
        File::new(".gitignore", "__pycache__/\n.venv/\n"),
    ];
    if version > 1 {
        files.push(File::new("payments/idempotency.py", "\"\"\"One effect for each key.\"\"\"\n\nseen: dict[str, object] = {}\n\n\ndef once(key, act):\n    if key not in seen:\n        seen[key] = act()\n    return seen[key]\n"));
        files.push(File::new("docs/decisions/0001-cents-not-floats.md", "# 1. Cents, not floats\n\nAccepted. Amounts travel as integers of cents; floats only where a provider forces us.\n"));
    }
    files
}

fn shop_config(days: u32) -> Vec<File> {
    vec![
        File::new(
            "limits.yaml",
            format!(
                "max_order_total_eur: 5000\nreturns_within_days: {days}\nflag:\n  - postcode_mismatch\n  - repeated_card_failure\n  - total_over_limit\n"
            ),
        ),
        File::new(
            "carriers.json",
            pretty(
                &json!({"default": "north-post", "carriers": ["north-post", "parcelline", "cargo-bike"]}),
            ),
        ),
        File::new(
            "postcodes/de.txt",
            "10115 Berlin\n20095 Hamburg\n50667 Köln\n80331 München\n",
        ),
    ]
}

fn corpus() -> Vec<File> {
    let mut dice = Dice::new(3);
    let mut part = |first: u64| {
        let mut lines = String::new();
        for id in first..first + 250 {
            let adjective = dice.pick(&[
                "solid",
                "light",
                "hand-made",
                "foldable",
                "large",
                "compact",
            ]);
            let noun = dice.pick(&[
                "desk", "shelf", "lamp", "curtain", "chair", "rug", "vase", "clock",
            ]);
            let wood = dice.pick(&["oak", "walnut", "linen", "wool", "steel", "ceramic"]);
            let row = json!({"id": id, "lang": "en", "text": format!("A {adjective} {noun} in {wood}, made to last.")});
            let _ = writeln!(lines, "{row}");
        }
        lines
    };
    let mut files: Vec<File> = (0..4)
        .map(|index| File::new(format!("texts/part-{index:04}.jsonl"), part(index * 250)))
        .collect();
    files.push(File::new(
        "LICENSE",
        "Own product texts. For internal use only.\n",
    ));
    files
}
