package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFolderIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(t.Context(), dir, false)
	require.NoError(t, err)
	_, err = openFolder(t.Context(), dir, true)
	require.ErrorContains(t, err, dir+" is in use by another process")
	require.NoError(t, f.close())

	f, err = openFolder(t.Context(), dir, false)
	require.NoError(t, err)
	require.NoError(t, f.close())
}

func TestFreshRemovesOnlyWhatIsOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20") // a path that a careless DSN would cut
	f, err := openFolder(t.Context(), dir, false)
	require.NoError(t, err)
	require.NoError(t, f.close())
	require.FileExists(t, filepath.Join(dir, marker))

	ours, foreign := filepath.Join(dir, "warehouse.db"), filepath.Join(dir, "thesis.txt")
	require.NoError(t, os.WriteFile(ours, []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(foreign, []byte("x"), 0o600))
	f, err = openFolder(t.Context(), dir, true)
	require.NoError(t, err)
	require.NoError(t, f.close())
	require.NoFileExists(t, ours)
	require.FileExists(t, foreign)
}

func TestAForeignFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "warehouse.db") // even one that has our name: no marker, not ours
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	_, err := openFolder(t.Context(), dir, true)
	require.ErrorContains(t, err, "holds files that are not the inventory's")
	require.FileExists(t, file)

	_, err = openFolder(t.Context(), filepath.Join(file, "sub"), false)
	require.ErrorContains(t, err, "cannot make the folder")
}

func TestANewFolderIsNewEachTime(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	a, err := openFolder(t.Context(), "", false)
	require.NoError(t, err)
	b, err := openFolder(t.Context(), "", false)
	require.NoError(t, err)
	require.NotEqual(t, a.path, b.path)
	require.NoError(t, a.close())
	require.NoError(t, b.close())
}

func TestFreshLeavesNothingOfAStory(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "5")
	require.NoError(t, os.WriteFile(filepath.Join(dir, forecastToken), []byte("job1.x"), 0o600))
	f, err := openFolder(t.Context(), dir, true)
	require.NoError(t, err)
	defer f.close()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, strings.HasPrefix(e.Name(), marker), "%s is left", e.Name())
	}
}
