module lanyard.dev/e2e/peers

go 1.19
