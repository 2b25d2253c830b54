//! The scripts, loaded once. Each says in its first lines which keys and arguments it takes. Read `lua/append.lua`
//! first.

use redis::Script;

/// All scripts of the broker.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) begin: Script,
    pub(super) adopt: Script,
    pub(super) cover: Script,
    pub(super) confirm: Script,
    pub(super) expire: Script,
    pub(super) sweep: Script,
    pub(super) beat: Script,
    pub(super) alive: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        let log = include_str!("lua/log.lua");
        let with_log = |code: &str| Script::new(&format!("{log}\n{code}"));
        Self {
            append: with_log(include_str!("lua/append.lua")),
            begin: Script::new(include_str!("lua/begin.lua")),
            adopt: Script::new(include_str!("lua/adopt.lua")),
            cover: Script::new(include_str!("lua/cover.lua")),
            confirm: Script::new(include_str!("lua/confirm.lua")),
            expire: Script::new(include_str!("lua/expire.lua")),
            sweep: with_log(include_str!("lua/sweep.lua")),
            beat: Script::new(include_str!("lua/beat.lua")),
            alive: Script::new(include_str!("lua/alive.lua")),
        }
    }
}
