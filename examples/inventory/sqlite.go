package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// dsn names a SQLite file. Transactions begin IMMEDIATE, as sqlstore asks; the path is escaped, since a folder may
// have any name.
func dsn(path string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/Users/... on Windows
	}
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range pragmas {
		if p != "" {
			q.Add("_pragma", p)
		}
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// sqliteCode is the primary result code of a SQLite error, or 0.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func isBusy(err error) bool {
	c := sqliteCode(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED
}

// about says which file an error is about and, where SQLite's code tells, what it means for the person at the terminal.
func about(path string, err error) error {
	if err == nil {
		return nil
	}
	means := ""
	switch sqliteCode(err) {
	case lib.SQLITE_FULL:
		means = "the disk is full: make room and run again with the same -dir, what was confirmed is safe"
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		means = "damaged, or no SQLite database: restore it, or start anew with -fresh"
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_CANTOPEN:
		means = "it cannot be written: name a folder that can be with -dir"
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		means = "it is in use by another process"
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: %s (%w)", path, means, err)
}
