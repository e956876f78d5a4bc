//! Seeded texts and their patterns: smaller relatives of the workloads in `plans.py`, without files.

use std::fmt::Write;

const NUMBER: &str = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?";
const KEYS: [&str; 8] =
    ["loss", "grad_norm", "learning_rate", "epoch", "eval_loss", "runtime", "samples_per_second", "steps_per_second"];

/// A text and how many points the patterns find in it.
pub struct Text {
    /// What criterion calls it.
    pub name: &'static str,
    /// The log.
    pub bytes: Vec<u8>,
    /// The exact number of points.
    pub points: usize,
}

/// SplitMix64: a few lines of a generator are enough for log text.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

/// The patterns that all texts are decoded by.
pub fn patterns() -> Vec<String> {
    KEYS.iter().map(|key| format!("'{key}': ({NUMBER})")).collect()
}

/// `count` patterns of different names, none of which stands in a text.
pub fn absent_patterns(count: usize) -> Vec<String> {
    let mut random = Random(3);
    (0..count).map(|_| format!("{:016x}=({NUMBER})", random.next())).collect()
}

/// All texts, of about `size` bytes each.
pub fn all(size: usize) -> Vec<Text> {
    vec![
        lines("sparse", size, 0.01, ""),
        lines("dense", size, 0.5, ""),
        lines("coloured", size, 0.01, "\x1b[32m"),
        bars(size),
    ]
}

fn noise(random: &mut Random, out: &mut String) {
    let (step, rank) = (random.below(100_000), random.below(8));
    let _ = match random.below(4) {
        0 => write!(out, "2024-05-01 12:30:{:02} - INFO - trainer - Saving checkpoint to step-{step}", rank),
        1 => write!(out, "ip-10-0-3-{rank}:{step}:{rank} [{rank}] NCCL INFO Channel 00 : {rank} via P2P/IPC/read"),
        2 => write!(out, "  File \"/opt/conda/lib/python3.10/site-packages/torch/engine.py\", line {step}"),
        _ => write!(out, "    return forward_call(*args, **kwargs)"),
    };
}

fn metrics(random: &mut Random, out: &mut String) -> usize {
    let count = 4 + random.below(3) as usize;
    let first = random.below(KEYS.len() as u64) as usize;
    for at in 0..count {
        let opening = if at == 0 { '{' } else { ' ' };
        let _ = write!(out, "{opening}'{}': {:.5},", KEYS[(first + at) % KEYS.len()], random.share() * 10.0);
    }
    out.push('}');
    count
}

fn lines(name: &'static str, size: usize, share: f64, colour: &str) -> Text {
    let (mut random, mut text, mut points) = (Random(1), String::with_capacity(size + 1024), 0);
    while text.len() < size {
        text.push_str(colour);
        if random.share() < share {
            points += metrics(&mut random, &mut text);
        } else {
            noise(&mut random, &mut text);
        }
        text.push_str(if colour.is_empty() { "\n" } else { "\x1b[0m\n" });
    }
    Text { name, bytes: text.into_bytes(), points }
}

fn bars(size: usize) -> Text {
    let (mut random, mut text, mut points) = (Random(2), String::with_capacity(size + 1024), 0);
    while text.len() < size {
        let percent = random.below(101) as usize;
        let _ = write!(text, "\r{percent:3}%|{:10}| {percent}/100 [00:12<00:10", "#".repeat(percent / 10));
        if random.share() < 0.01 {
            let _ = write!(text, ", 'loss': {:.4}", random.share());
            points += 1;
        }
        text.push(']');
        if random.below(300) == 0 {
            text.push('\n');
        }
    }
    Text { name: "bars", bytes: text.into_bytes(), points }
}
