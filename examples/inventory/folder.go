package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A folder is where one warehouse lives. It is ours when it holds the marker, and it is held by one process at a time.
type folder struct {
	path string
	lock *sql.DB
}

// marker is the file that says a folder is ours. It is the lock too: the process that works here keeps an exclusive
// SQLite lock on it, which every system releases when the process dies, whatever it died of.
const marker = "crosstie-inventory.lock"

// ourFiles are the only files that -fresh removes.
var ourFiles = []string{
	"warehouse.db", "warehouse.db-wal", "warehouse.db-shm", "warehouse.db-journal",
	"receiver.db", "receiver.db-wal", "receiver.db-shm", "receiver.db-journal",
	"load.txt", "org.txt", "webhook.secret", forecastToken,
}

// openFolder makes, checks and locks the folder at path, or a new one under the user's cache directory.
func openFolder(ctx context.Context, path string, fresh bool) (*folder, error) {
	if path == "" {
		var err error
		if path, err = newFolder(); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder: %w", err)
	}
	if err := ours(path); err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.take(ctx); err != nil {
		return nil, err
	}
	if fresh {
		for _, name := range ourFiles {
			if err := os.Remove(f.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, errors.Join(fmt.Errorf("-fresh: %w", err), f.close())
			}
		}
	}
	return f, nil
}

// newFolder makes a new folder; where there is no cache directory, or it cannot be written, a temporary one.
func newFolder() (string, error) {
	pattern := "inventory-" + time.Now().Format("20060102-150405") + "-*"
	if cache, err := os.UserCacheDir(); err == nil {
		parent := filepath.Join(cache, "crosstie")
		if err := os.MkdirAll(parent, 0o700); err == nil {
			if path, err := os.MkdirTemp(parent, pattern); err == nil {
				return path, nil
			}
		}
	}
	path, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", fmt.Errorf("cannot make a new folder: %w; name one with -dir", err)
	}
	return path, nil
}

// ours refuses a folder that holds files and no marker: it is somebody else's.
func ours(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err != nil {
		return fmt.Errorf("%s holds files that are not the inventory's: name an empty or a new folder", path)
	}
	return nil
}

// take locks the folder.
func (f *folder) take(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(f.file(marker), "busy_timeout(0)"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1) // the lock belongs to this one connection, which stays open
	if _, err = db.ExecContext(ctx, "PRAGMA locking_mode = EXCLUSIVE"); err == nil {
		_, err = db.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err != nil {
		db.Close()
		if isBusy(err) {
			return fmt.Errorf("%s is in use by another process: stop it, or name another folder with -dir", f.path)
		}
		return about(f.path, err)
	}
	f.lock = db
	return nil
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) close() error { return f.lock.Close() }
