//! The integration tests: one binary, which mounts through the kernel and
//! talks real HTTP on loopback.
//!
//! They need `/dev/fuse`, and fail where it is missing. As root they also test
//! what an ordinary user meets, as the user `vm0fs-test` that `scripts/test`
//! makes. Tests that need root are ignored (`cargo test -- --include-ignored`
//! runs them); `scripts/test` runs them as root.
//!
//! They hold on a busy machine: a test waits for a condition, with a bound that
//! only a hang exceeds, and does not assume that something is done after a sleep.
//!
//! # Which test holds which promise
//!
//! What is promised, how it is kept, and the tests that hold it:
//!
//! | promise | how | tests |
//! |---|---|---|
//! | The token goes to the API's origin only | redirects are followed within it, links elsewhere are asked for without it | `faults::wrong_content::redirects_are_followed_within_the_service_only`, `faults::downloads::failures_of_the_download_link_are_reported_and_pass`, `budgets::versions::the_token_goes_to_the_api_only`, `config::a_token_goes_to_no_server_but_the_one_that_is_asked` |
//! | Token, links and runs' secrets are in no argument, child's environment, log, error, panic's message, core file, or file of `.vm0fs` | they are of types that do not print; variables are taken out; a panic is logged by its place alone; cores are limited to a byte | `leaks::secrets_appear_nowhere`, `commands::first::a_report_has_what_a_bug_report_needs_and_no_secret`, `commands::mount::neither_logs_nor_status_nor_arguments_hold_a_secret`, `living::starting::secrets_stay_out_of_logs_and_errors` |
//! | No plain HTTP to other hosts; no server without a good certificate | refused before a byte is sent | `commands::refusals::a_token_is_not_sent_in_the_open`, `faults::unreachable::an_unsigned_certificate_is_refused`, `faults::unreachable::a_certificate_for_another_name_is_refused`, `faults::unreachable::a_download_behind_an_unsigned_certificate_is_refused` |
//! | An archive reaches nothing outside of its version | contents go into numbered files, names into an index; no devices, no setuid, `nosuid,nodev`; symlinks that lead out are listed and cannot be read (`--allow-external-symlinks` changes that) | `hostile::every_trick_has_its_outcome`, `tree::symlinks::links_out_of_a_version_are_shown_but_not_followed` |
//! | … and costs bounded memory, disk and time | limits (`vm0fs help limits`), looked at before anything is written | `hostile::bombs::ten_gigabytes_cost_neither_memory_nor_disk`, `hostile::bombs::five_million_empty_entries_are_refused_in_bounded_memory`, `hostile::bombs::what_one_header_says_of_all_entries_costs_each_of_them_little` |
//! | No byte of the cache is trusted | checksums; what fails them is fetched again | `store::tests::distrust::no_flip_and_no_cut_of_a_tree_does_harm`, `cache::damage::damaged_cache_files_are_repaired` |
//! | Only you enter, and what is kept is yours | the kernel asks who mounted; folders are 0700, files closed to others; token files that are not, are warned of; nothing listens, so there is no socket to guard | `leaks::no_other_user_enters_a_mount`, `leaks::allow_other_warns_and_lets_others_only_read`, `commands::top::only_the_user_who_mounted_may_look`, `config::the_cache_folder_is_private`, `config::a_token_that_others_may_read_is_warned_of`, `rules::nothing_listens` |
//! | Indexers download nothing | by their names | `crawlers::an_indexer_lists_names_and_starts_no_download`, `crawlers::a_file_manager_counts_for_nothing_and_opens_what_is_opened`, `doctor::findings::doctor_reports_an_updatedb_that_indexes_mounts` |
//! | Few dependencies, all of them locked | `--locked` in every script; `tar` is 0.4.45 or later | `rules::manifest::dependencies_are_few_and_locked`, `rules::manifest::tar_is_not_older_than_0_4_45` |
//!
//! | promise | how | tests |
//! |---|---|---|
//! | A wait ends when nothing has come for `--timeout` | waits have deadlines that each byte renews | `faults::connections::silent_connections_end_at_the_timeout`, `waiting::deadlines::a_stalled_read_ends_with_etimedout`, `waiting::deadlines::a_slow_but_steady_download_takes_its_time` |
//! | What hangs delays nothing else: what needs no network takes 50 ms at most | operations never wait; calls and downloads have workers of their own | `waiting::quick::what_needs_no_network_is_quick_while_everything_hangs`, `waiting::quick::df_and_the_top_folder_never_ask`, `waiting::deadlines::more_hanging_downloads_than_workers_do_not_stop_listings` |
//! | `unmount` and SIGTERM take two seconds at most | requests that wait are let go; nothing there asks the network | `ending::hanging::unmount_returns_while_a_download_hangs`, `ending::hanging::unmount_returns_while_the_process_of_the_mount_is_stopped`, `ending::hanging::sigterm_ends_a_mount_while_every_kind_of_request_hangs` |
//! | Every fault of service and network is an honest error, told in `.vm0fs/errors`, and over when the service is well | one table of errors | `faults::error_answers::error_answers_of_the_service_are_reported_and_pass`, `faults::error_answers::error_answers_of_gateways_are_reported_and_pass`, `faults::wrong_content::answers_of_another_content_are_reported_and_pass`, `faults::connections::broken_connections_are_reported_and_pass`, `faults::downloads::failures_of_the_object_store_are_reported_and_pass`, `faults::unreachable::a_name_that_comes_to_be_known_is_noticed`, `faults::unreachable::tls_that_comes_to_work_is_noticed` |
//! | A service in trouble is left in peace | three tries with growing, random waits; `Retry-After`; one probe at a time while it is down; refreshes that slow down before any fails | `api::tests::faults::passing_faults_are_tried_again`, `faults::error_answers::rate_limit_answers_are_eagain_and_pass`, `faults::unreachable::a_service_that_cannot_be_reached_is_tried_now_and_then`, `faults::unreachable::a_service_that_is_down_behind_its_gateway_is_left_in_peace`, `faults::rate_budget::refreshes_slow_down_before_anything_fails` |
//! | No part is shown as the whole | what does not exist is told when all has been read and checked | `faults::downloads::broken_archives_are_reported_and_pass`, `streaming::a_bad_end_is_an_error_for_all_that_comes_after` |
//! | A crash or a panic at any step leaves a version or none, and the cache sound | made aside, then renamed | `cache::crashes::a_crash_at_any_step_leaves_a_version_or_none`, `cache::crashes::a_panic_at_any_step_is_an_error_and_passes`, `store::tests::crashes::killed_at_any_moment` |
//! | A full, read-only, foreign or removed cache, too few descriptors or threads, a clock that jumps: an error at most, until it is over | the mount needs none of them for what it knows | `cache::folder::a_disk_that_fills_up_while_unpacking_evicts_versions`, `cache::folder::a_read_only_cache_fails_only_new_fetches`, `cache::folder::a_cache_given_to_another_user_fails_only_what_needs_it`, `cache::a_cache_removed_while_mounted_is_made_again`, `machine::limits::descriptors_run_out_and_come_back`, `machine::limits::threads_run_out_and_come_back`, `machine::clock::the_clock_of_the_machine_may_jump` |
//! | Many readers get what is right from a small cache | content that is waited for is not evicted | `machine::readers::two_hundred_processes_over_fifty_versions_with_room_for_five` |
//! | Memory, threads and descriptors return to what they were | all of it is bounded | `machine::load::descriptors_and_threads_return_to_their_start`, and `scripts/soak` |
//! | Content that was evicted is read without its archive, and is right | a seek index, checksums of every block | `parts::an_evicted_version_is_listed_for_nothing_and_a_file_costs_what_it_needs`, `parts::real_programs_read_an_evicted_version_and_are_right`, `parts::much_random_reading_fetches_the_archive_about_once`, `store::tests::parts::a_seek_index_that_is_damaged_costs_one_whole_download`, `cache::crashes::a_crash_at_any_step_leaves_a_version_or_none` |
//! | Two versions are compared for no byte of content, and as git compares them | every file's SHA-256 is in the index | `diff::output::names_are_those_of_git_and_cost_no_byte_of_content`, `diff::output::a_patch_makes_the_new_version_of_the_old_one`, `diff::output::a_terminal_gets_colour_and_no_escapes_of_files` |
//! | A fleet fetches what never changes once, and a shared cache that fails costs no read | sealed objects, a circuit breaker | `shared::a_second_machine_reads_an_ended_run_from_s3_without_a_call`, `parts::a_second_machine_lists_a_version_for_nothing_and_reads_a_file_for_a_part`, `parts::hashes_that_an_index_lacks_are_made_of_the_content`, `shared::a_store_that_fails_costs_a_few_requests_and_no_read`, `shared::bytes_of_another_program_are_missing_objects` |
//! | A mount outlives the process that serves it: what is open stays open, nothing is sent twice | a supervisor holds the device, and the memory of what a worker leaves | `supervisor::a_worker_that_is_killed_is_replaced_and_nothing_else_changes`, `supervisor::a_worker_that_stands_still_is_replaced`, `supervisor::upgrade::a_mount_goes_on_with_the_program_on_disk_or_as_it_is`, and `scripts/chaos` |
//! | … five deaths in ten seconds end it, work that kills is refused, the supervisor knows no token | deaths are counted, by time and by work | `supervisor::ends::five_deaths_within_ten_seconds_end_a_mount`, `supervisor::poison::a_fetch_that_has_killed_two_workers_is_refused_and_named`, `supervisor::a_supervisor_holds_no_token` |
//! | A fetch for which there is no memory fails, and nothing else | limits are asked before a fetch begins; a reserve | `machine::limits::a_fetch_for_which_there_is_no_memory_fails_and_the_mount_lives` |
//! | A dead mount is replaced, and told from a hung one | the process table is asked, not the mount | `commands::mount::a_dead_mount_is_replaced_even_where_a_shell_stands_in_it`, `doctor::doctor_reports_a_dead_mount_and_fix_unmounts_it`, `doctor::doctor_reports_a_stopped_mount_as_hung_and_leaves_it` |
//!
//! | promise | how | tests |
//! |---|---|---|
//! | A run is what its agent did, to read, at the price of its rows | events are drawn one by one; all files are of one log | `living::conversation::a_log_is_what_happened_and_not_json`, `living::conversation::a_conversation_costs_no_call_beyond_the_rows_of_the_log`, `living::conversation::tail_shows_a_transcript_grow_within_two_seconds` |
//! | … and what an agent wrote runs and fetches nothing | escaped, and a policy in the page's head | `living::conversation::a_browser_shows_a_report_and_runs_and_fetches_nothing_in_it` |
//! | A script that waits for a status sees the end with its next look | looking again is following | `living::status::scripts_that_wait_for_a_status_see_it_end`, `living::status::a_minute_of_looking_at_the_status_costs_one_stream` |
//! | An archive is the folder that was packed, whichever program packed it | read as GNU tar and bsdtar agree; else refused | `archives::every_program_s_archive_is_shown_as_the_folder_that_was_packed`, `archives::fields::numbers_are_read_as_gnu_tar_and_bsdtar_agree`, `archives::holes::a_file_of_a_tebibyte_of_hole_costs_next_to_nothing` |
//! | A program sees the same bytes by every way of reading | what is fixed goes through the page cache, what changes past it | `ways::files_of_ours_are_the_same_by_every_way_of_reading`, `ways::files_of_a_version_are_the_same_by_every_way_of_reading` |
//! | Files are told apart in JavaScript, links come to an end, attributes fit on a disk | inode numbers below 2^53; links lead to files or down; 2 kB in all | `tools::node::every_inode_number_is_exact_in_a_double_and_its_own`, `tree::links::programs_that_follow_links_end`, `tools::attributes::a_version_with_a_long_message_and_many_symlinks_can_be_copied_with_its_attributes` |
//! | What a fleet shares cannot be read or forged without its key | sealed under it, names hashed, bound to each other | `shared::seal::no_flip_no_cut_no_swap_and_no_other_key_is_taken`, `shared::a_second_machine_reads_an_ended_run_from_s3_without_a_call`, `shared::bytes_of_another_program_are_missing_objects` |
//! | … and its store never fails a read | a lookup waits half a second, once; then a circuit breaker | `shared::a_store_that_fails_costs_a_few_requests_and_no_read`, `shared::a_store_that_is_gone_or_refuses_the_secret_costs_no_read`, `shared::tests::a_folder_that_hangs_delays_one_lookup` |
//! | A table of mounts holds no secret, and mounts what its line says, as the user that it names | mount(8) calls a helper, which reads the options of the program and no token | `startup::tables::the_helper_fails_as_mount_wants_it_and_repeats_no_token`, `startup::tables::a_table_is_mounted_once_and_as_the_user_that_it_names`, `startup::tables::an_ordinary_user_mounts_and_unmounts_what_the_table_permits` |
//! | A service is ready when its mount is, outlives its worker, and ends with the session | the supervisor speaks to the manager | `startup::services::enable_mounts_at_each_login_until_disable`, `startup::notices::a_supervisor_tells_its_manager_what_becomes_of_the_mount` |
//! | No signal of the environment ends a mount | each is blocked or handled | `ending::signals::no_other_signal_ends_a_mount_or_stops_it` |
//! | A request is sent as it was meant, once, or not at all | marks are skipped, broken objects refused, modes ignored | `living::marks::a_request_behind_a_byte_order_mark_is_understood`, `living::marks::a_broken_json_object_is_neither_sent_nor_logged`, `living::copying::every_kind_of_copy_to_a_control_file_starts_one_run` |
//! | A server that is no v1 is named | told by the form of its answers | `service::foreign::mounting_a_foreign_server_fails_and_says_what_came_and_what_to_do` |

#![allow(clippy::unwrap_used)]

mod archives;
mod budgets;
mod cache;
mod commands;
mod completions;
mod config;
mod crawlers;
mod diff;
mod doctor;
mod ending;
mod faults;
mod hostile;
mod leaks;
mod living;
mod machine;
mod man;
mod metrics;
mod model;
mod offline;
mod package;
mod parts;
mod rules;
mod service;
mod shared;
mod smoke;
mod startup;
mod streaming;
mod supervisor;
mod support;
mod tools;
mod tree;
mod waiting;
mod ways;
