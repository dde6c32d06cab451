module evenloop/bench/peers

go 1.19
