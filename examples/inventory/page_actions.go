package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// What the buttons send. An answer is {"words": ...}: what was done, or why it was not, for whoever pressed.

// patience is how long a button waits. What takes longer goes on, and the board tells how it ended.
const patience = 10 * time.Second

func (p *page) actions(mux *http.ServeMux) {
	action(mux, "reserve", func(ctx context.Context, in struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}) (string, error) {
		if in.Quantity < 1 || in.Quantity > maxPieces {
			return "", badRequest(fmt.Sprintf("Reserve from 1 to %d pieces.", maxPieces))
		}
		if in.SKU == "" || len(in.SKU) > 100 {
			return "", badRequest("Say which product: sku is 1 to 100 bytes.")
		}
		what := fmt.Sprintf("%s of %s", plural(int64(in.Quantity), "piece"), clip(in.SKU))
		err := p.controls.Reserve(ctx, in.SKU, in.Quantity)
		if _, ok := errors.AsType[*stillTrying](err); ok {
			p.board.event(kindTrouble, "No answer about "+what+". The order keeps its key, and is tried again until there is one.")
		}
		return "Reserved " + what + ".", err
	})
	action(mux, "forecast", func(ctx context.Context, _ struct{}) (string, error) {
		return "The forecast is accepted. It goes on even if this page is closed.", p.controls.Forecast(ctx)
	})
	action(mux, "cancel", func(ctx context.Context, _ struct{}) (string, error) {
		return "The forecast is asked to stop.", p.controls.CancelForecast(ctx)
	})
	action(mux, "network", func(_ context.Context, in struct {
		Broken *bool `json:"broken"`
	}) (string, error) {
		switch {
		case in.Broken == nil:
			return "", badRequest("Say broken: true or false.")
		case *in.Broken:
			return "The network is broken. Reserve something, and see what becomes of it.", p.controls.Network(true)
		}
		return "The network is mended. What waited is on its way.", p.controls.Network(false)
	})
	action(mux, "restart", func(ctx context.Context, in struct {
		Subscriber string `json:"subscriber"`
	}) (string, error) {
		return fmt.Sprintf("The subscriber %s is restarted, and goes on at its cursor.", clip(in.Subscriber)), p.controls.Restart(ctx, in.Subscriber)
	})
	action(mux, "customers", func(_ context.Context, in struct {
		Open *bool `json:"open"`
	}) (string, error) {
		if in.Open == nil {
			return "", badRequest("Say open: true or false.")
		}
		return p.customers.open(*in.Open), nil
	})
}

// badRequest is what a button never sends.
type badRequest string

func (b badRequest) Error() string { return string(b) }

const maxAction = 4 << 10 // bytes

// action serves one button.
func action[T any](mux *http.ServeMux, name string, do func(context.Context, T) (string, error)) {
	mux.HandleFunc("POST /page/do/"+name, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		var in T
		words, err := "", readAction(w, r, &in)
		if err == nil {
			words, err = do(ctx, in)
		}
		status := http.StatusOK
		if err != nil {
			status, words = inWords(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"words": words})
	})
}

// readAction reads one JSON object, and nothing beside it.
func readAction(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAction))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badRequest("The request is not the JSON that this button sends.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("The request has more than one JSON value.")
	}
	return nil
}
