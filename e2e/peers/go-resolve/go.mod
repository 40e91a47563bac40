module lanyard.test/resolve

go 1.21
