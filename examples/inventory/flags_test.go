package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsThatMakeNoSenseSayWhatWould(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.csv")
	require.NoError(t, os.WriteFile(file, []byte(catalogueHeader), 0o600))
	for args, says := range map[string]string{
		"-once extra":                              "give a file with -input",
		"-nonsense":                                "-help lists the flags",
		"-seed 3":                                  "add -once",
		"-reservations 3":                          "add -once",
		"-wait 3s":                                 "add -once",
		"-once -addr 127.0.0.1:1":                  "leave one of them out",
		"-once -fresh":                             "add -dir FOLDER",
		"-once -dir=":                              "leave -dir out",
		"-once -input=":                            "leave -input out",
		"-once -reservations 0":                    "1 to 100000",
		"-once -reservations 1000000":              "1 to 100000",
		"-once -reservations many":                 "-help lists the flags",
		"-once -wait 1ms":                          "1s to 1h",
		"-once -products (":                        "regular expression",
		"-once -products=":                         "regular expression",
		"-addr here":                               "host:port",
		"-addr 127.0.0.1:99999":                    "1 to 65535",
		"-once -input " + file + ".no":             "-input",
		"-once -input " + filepath.Dir(file):       "is a folder",
		"-once -receiver=":                         "whole address",
		"-once -receiver localhost:9":              "whole address",
		"-once -receiver ftp://localhost:9":        "whole address",
		"-once -receiver http://u:p@localhost:9/a": "leave user and password out",
		"-once -receiver http://localhost:9/a":     "put it in " + secretEnv,
		"-once -org=":                              "whole address",
		"-once -org example.my.salesforce.com":     "whole address",
		"-once -org http://u:p@localhost:9":        "leave user and password out",
		"-once -org http://example.com":            "give an https address",
		"-once -org https://example.com":           "put them in " + orgIDEnv,
	} {
		t.Run(args, func(t *testing.T) {
			_, err := parseFlags(strings.Fields(args), func(string) string { return "" }, io.Discard)
			require.ErrorContains(t, err, says)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestFlagsThatMakeSense(t *testing.T) {
	none := func(string) string { return "" }
	c, err := parseFlags(nil, none, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", c.addr, "loopback unless told")
	require.False(t, c.foldCase)

	c, err = parseFlags(strings.Fields("-once -seed 7 -reservations 10 -fold-case -dir x -fresh"), none, io.Discard)
	require.NoError(t, err)
	require.Equal(t, uint64(7), c.seed)
	require.True(t, c.fresh && c.foldCase)

	c, err = parseFlags(strings.Fields("-once -receiver http://127.0.0.1:9/hook"),
		func(string) string { return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }, io.Discard)
	require.NoError(t, err)
	require.NotEmpty(t, c.secret)

	_, err = parseFlags(strings.Fields("-once -receiver http://127.0.0.1:9/hook"),
		func(string) string { return "hunter2" }, io.Discard)
	require.ErrorContains(t, err, secretEnv)
	require.NotContains(t, err.Error(), "hunter2", "a secret is never printed, not even a wrong one")

	var help strings.Builder
	_, err = parseFlags([]string{"-help"}, none, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, help.String(), "-fold-case")
}
