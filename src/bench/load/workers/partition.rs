//! How many workers a swarm needs, and which clients each of them has. Pure. Read [`workers_for`] first.

/// Open files of a worker besides its connections: runtime, pipes, a few polls.
const FILES_BESIDES: u64 = 64;
/// Most workers: beyond that they only wait for each other's cores.
pub const WORKERS_MAX: u16 = 64;

/// How many workers a swarm needs, where a process may have so many open files. `asked` is what flag or scenario say.
/// 0: none, the swarm has room in the process that publishes.
#[must_use]
pub fn workers_for(clients: u64, beside: u64, open_files: u64, asked: Option<u16>) -> u16 {
    if let Some(asked) = asked {
        return if asked > 1 { asked } else { 0 };
    }
    if clients.saturating_add(beside) <= open_files {
        return 0;
    }
    let room = open_files.saturating_sub(FILES_BESIDES).max(1);
    u16::try_from(clients.div_ceil(room)).unwrap_or(WORKERS_MAX).clamp(2, WORKERS_MAX)
}

/// Open files of one of so many workers.
#[must_use]
pub fn open_files(clients: u64, workers: u16) -> u64 {
    clients.div_ceil(u64::from(workers.max(1))) + FILES_BESIDES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::SubscriberId;
    use crate::bench::load::clients::share::Share;

    #[test]
    fn a_swarm_gets_workers_where_it_has_no_room_or_where_it_is_asked_to() {
        assert_eq!(workers_for(9_000, 400, 20_000, None), 0);
        assert_eq!(workers_for(19_700, 400, 20_000, None), 2, "room for the clients, and none for the rest");
        assert_eq!(workers_for(25_000, 400, 20_000, None), 2);
        assert_eq!(workers_for(100_000, 400, 20_000, None), 6);
        assert_eq!(workers_for(10, 400, 20_000, Some(3)), 3);
        assert_eq!(workers_for(25_000, 400, 20_000, Some(1)), 0, "who asks for one gets one, and its limits");
        assert_eq!(workers_for(10_000_000, 0, 64, None), WORKERS_MAX);
    }

    #[test]
    fn every_worker_fits_into_its_limit() {
        for clients in [19_999, 20_000, 25_000, 39_872, 39_873, 100_000] {
            let workers = workers_for(clients, 400, 20_000, None);
            assert!(open_files(clients, workers) <= 20_000, "{clients} over {workers}");
        }
    }

    #[test]
    fn every_client_has_one_worker() {
        for of in 1..5_u16 {
            let of_all = |client| {
                (0..of).filter(|index| Share { index: *index, of }.has(SubscriberId(client))).count()
            };
            assert!((0..20).all(|client| of_all(client) == 1), "{of}");
        }
        assert!(Share::WHOLE.has(SubscriberId(7)));
    }
}
