// Package remoteinvoke starts work in another system and learns of its end
// later: an id now, the result when there is one.
//
// Use it when the work takes longer than a call may stay open: a forecast, an
// export, a model at work, anything that must outlive a time-out, a deploy or
// the caller itself. Use requestreply when the answer comes in seconds,
// fireforget when nobody wants an answer, and batchsync to move many records
// by yourself.
//
//	service := remoteinvoke.NewService("forecast", store, forecast, nil)
//	http.Handle("/forecast/", http.StripPrefix("/forecast/", service))
//	err := service.Run(ctx) // in this process or in others
//
//	// func forecast(ctx context.Context, job *remoteinvoke.Job, in Range) (Forecast, error)
//
//	client := remoteinvoke.Client[Range, Forecast]{URL: "https://ai.example/forecast/"}
//	pending, err := client.Start(ctx, Range{From: "A", To: "Z"}, nil)
//	out, err := pending.Wait(ctx) // or keep pending.Token(), and Resume elsewhere
//
// # The promise
//
// When [Client.Start] or [Service.Start] returns nil the job is durable. It
// will run, by any process that runs the service on the same store, and end
// in one of three states: done, failed or canceled. It ends once: the first
// end that is recorded stays.
//
// The id of a job is made before it is sent, so that Start may be repeated:
// the same id with the same input is the same job.
//
// Its function is called at least once, and again when a process dies or the
// function fails. It goes on from what it saved: [Job.Save] is durable, and
// refused to a process that has lost the job. [Job.SaveTx] commits the state
// together with the effects it stands for, in one transaction, which makes
// them once in effect.
//
// A state only moves on: queued, running, canceling, and one of the three
// ends. Each status has a version, which only grows, and a progress that never
// goes back: an attempt that repeats work shows the old mark until it has
// passed it.
//
// To cancel is to ask. A job that nobody has begun is canceled at once;
// another is "canceling" until its function has stopped, and may still end as
// done. When a caller stops waiting nothing is canceled.
//
// # Learning of the end
//
// [Pending.Wait] polls, no sooner than Retry-After says, and listens for a
// callback where the client has [Callbacks]: what comes first counts, and
// either alone is enough. A callback is a signed webhook that says that the
// job has ended. It carries no result: that is fetched, so a callback that is
// late, repeated or early can do no harm.
//
// The callback becomes due in the very update that ends the job. It goes only
// to URLs that [ServiceOptions] allow for the caller who started the job, is
// signed with that caller's own secret, and repeated by a schedule. One that
// never lands changes nothing about the job.
//
// # What survives a crash
//
// Everything a durable store has: the input, what was saved, progress, the
// attempts, the result, and the callbacks that are due. A job whose process
// died is claimed by another when its lease has run out: from the kill to the
// next attempt at most two leases, 20 s by default. Every claim has an epoch;
// a process that was only paused can write nothing more. A job that takes its
// process down each time is failed, with the code "crashed", when its attempts
// are used up.
//
// While the store cannot be reached a process keeps the ends of its jobs and
// tells them when it can, unless another has taken the job meanwhile, which
// then does it again: at least once, and one end that counts. [NewMem] survives
// nothing.
//
// # What becomes of an attempt
//
//	the function returns               the job
//	nil                                is done
//	a *Failure, retry.Permanent, or    is failed
//	  an error with Transient() false
//	any other error                    is attempted again after a wait, as
//	                                   ServiceOptions.Retry says, and failed
//	                                   when that allows no more
//	an error, after it was asked to    is canceled
//	  cancel
//	an error, when Run ends            is handed back, and not counted
//	a panic, or runtime.Goexit         counts as an error
//	(its process dies)                 counts as an attempt
//	(RunTimeout)                       counts as an error
//	(QueueTimeout, Timeout)            is failed: "queue_timeout", "timeout"
//
// # What is bounded
//
//	bounded                        default        at the bound
//	input, result, saved state     1 MiB each     ErrTooLarge; a result fails the
//	                                              job: return where a large one is
//	id                             128 characters ErrInvalid
//	note of a progress             256 bytes      cut
//	jobs that have not ended       100,000        ErrFull, 503 with Retry-After
//	  (MaxPending)
//	jobs at once (Workers)         16 a process   the others wait
//	attempts (Retry.MaxAttempts)   10             failed
//	one attempt (RunTimeout)       1 h            its context ends
//	from start to end (Timeout)    24 h           failed
//	waiting to begin               as Timeout     failed
//	  (QueueTimeout)
//	result kept (KeepResult)       24 h           ErrGone
//	id known (Remember)            8 days         ErrNotFound; it may be used again
//	attempts to call back          10 in 75 h     given up, and logged
//	one of them, and how many      20 s, 16       fails; the others wait
//	  at once in a process
//	a callback that is read        64 KiB         413
//	stopping (Drain)               10 s           contexts end, jobs handed back
//	waiting between polls          30 s           is exceeded by jitter, a tenth at most,
//	                                              and by a Retry-After that is longer
//
// # Errors
//
// Every error is an [*Error] with an outcome. Wait's wraps a [*Failure] when
// the job has failed, [ErrCanceled] when it was canceled, [ErrNotFound] and
// [ErrGone] when the service does not have it any more, and the context's
// cause when the caller stopped waiting. After a Start whose outcome is
// Unknown, start again under the Error's ID. The text of an error that a
// function returned goes to the Logger; callers see what a *Failure says. No
// error has a payload, a URL's query or a secret in it.
//
// # Concurrency
//
// All types are safe for concurrent use, save a [Poller], which belongs to one
// goroutine. [Service.Run] blocks, and waits for every goroutine it started.
// Nothing else starts one.
//
// # Testing
//
// [NewMem] is a store for tests and works inside testing/synctest, where days
// of callbacks pass at once; there, give the client a RoundTripper that calls
// the service's ServeHTTP. A store of your own must pass
// remoteinvoketest.TestStore.
package remoteinvoke
