//! The scripts, loaded once. Each says in its first lines which keys and arguments it takes. Read `lua/append.lua`
//! first.

use redis::Script;

/// All scripts of the broker.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) look: Script,
    pub(super) mail: Script,
    pub(super) begin: Script,
    pub(super) adopt: Script,
    pub(super) cover: Script,
    pub(super) confirm: Script,
    pub(super) expire: Script,
    pub(super) drop: Script,
    pub(super) sweep: Script,
    pub(super) beat: Script,
    pub(super) alive: Script,
    pub(super) leave: Script,
    pub(super) needs: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        let log = include_str!("lua/log.lua");
        let with_log = |code: &str| Script::new(&format!("{log}\n{code}"));
        let room = include_str!("lua/room.lua");
        let without_room = |code: &str| Script::new(&format!("{room}\n{code}"));
        Self {
            append: with_log(include_str!("lua/append.lua")),
            look: with_log(include_str!("lua/look.lua")),
            mail: Script::new(include_str!("lua/mail.lua")),
            begin: Script::new(&format!("{room}\n{log}\n{}", include_str!("lua/begin.lua"))),
            adopt: without_room(include_str!("lua/adopt.lua")),
            cover: without_room(include_str!("lua/cover.lua")),
            confirm: without_room(include_str!("lua/confirm.lua")),
            expire: without_room(include_str!("lua/expire.lua")),
            drop: Script::new(include_str!("lua/drop.lua")),
            sweep: with_log(include_str!("lua/sweep.lua")),
            beat: without_room(include_str!("lua/beat.lua")),
            alive: Script::new(include_str!("lua/alive.lua")),
            leave: Script::new(include_str!("lua/leave.lua")),
            needs: Script::new(include_str!("lua/needs.lua")),
        }
    }
}
