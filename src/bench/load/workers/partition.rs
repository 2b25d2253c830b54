//! The number of workers that a swarm needs. Pure. Read [`workers_for`] first.

/// Open files of a worker apart from its connections: runtime, pipes, pollers.
const FILES_BESIDES: u64 = 64;
/// Largest number of workers: more would only compete for cores.
pub const WORKERS_MAX: u16 = 64;

/// Number of workers for `clients` clients, where each process may have `open_files` open files and the parent needs
/// `beside` of them for other things. `asked` is the value of the flag or scenario. 0: the clients run in the parent.
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

/// Open files of each worker, when `clients` clients are spread over `workers` workers.
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
        assert_eq!(workers_for(19_700, 400, 20_000, None), 2, "the clients fit, the rest does not");
        assert_eq!(workers_for(25_000, 400, 20_000, None), 2);
        assert_eq!(workers_for(100_000, 400, 20_000, None), 6);
        assert_eq!(workers_for(10, 400, 20_000, Some(3)), 3);
        assert_eq!(workers_for(25_000, 400, 20_000, Some(1)), 0, "one worker means none beside the parent");
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
