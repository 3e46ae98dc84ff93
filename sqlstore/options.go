package sqlstore

import (
	"fmt"
	"regexp"
	"time"
)

// Options of [Open]. A nil *Options and the zero value of a field mean the
// defaults.
type Options struct {
	// Prefix begins the name of every table and index: lower-case letters,
	// digits and underscores, at most 32, a letter first. Defaults to
	// "crosstie_". Stores with different prefixes in one database do not know
	// of each other.
	Prefix string
	// NoMigrate makes Open check the schema and change nothing; what is
	// missing is an error that wraps [ErrSchema]. For services whose database
	// user may not create tables: a DBA runs what [Schema] prints.
	NoMigrate bool
	// TxLimit is how long one function given to [DB.Tx] may take while others
	// wait behind it. Defaults to 5 s; negative means no limit. A statement
	// that runs at that moment without the function's ctx is waited for.
	TxLimit time.Duration
	// LockWait is how long a write waits for the database's write lock, or for
	// a free connection, while others hold it. Defaults to 5 s. A busy time-out
	// of the driver that is longer has its way first.
	LockWait time.Duration
	// Batch is how many writes share one commit at most. Defaults to 256.
	Batch int
	// Queue is how many writes wait for a commit at most; one more fails at
	// once with [ErrQueueFull]. Defaults to 16384.
	Queue int
}

var prefixRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	if v.Prefix == "" {
		v.Prefix = defaultPrefix
	}
	if !prefixRule.MatchString(v.Prefix) {
		return v, fmt.Errorf("prefix %q: want a lower-case letter, then at most 31 lower-case letters, digits and underscores", v.Prefix)
	}
	if v.TxLimit == 0 {
		v.TxLimit = 5 * time.Second
	}
	if v.LockWait <= 0 {
		v.LockWait = 5 * time.Second
	}
	return v, nil
}
