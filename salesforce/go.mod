module github.com/crosstie/crosstie/salesforce

go 1.26.0

replace github.com/crosstie/crosstie => ../

require (
	github.com/crosstie/crosstie v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
