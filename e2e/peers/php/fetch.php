<?php
// Asks for each URL with PHP's own streams, or with its curl, and prints what came, a line of JSON each:
// fetch.php streams|curl URL...

function with_streams(string $url): array
{
    $context = stream_context_create(["http" => ["ignore_errors" => true, "timeout" => 20]]);
    $body = @file_get_contents($url, false, $context);
    if ($body === false) {
        return ["error" => error_get_last()["message"]];
    }
    return ["status" => (int) explode(" ", $http_response_header[0])[1], "body" => $body];
}

function with_curl(string $url): array
{
    $handle = curl_init($url);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 20]);
    $body = curl_exec($handle);
    if ($body === false) {
        return ["error" => curl_error($handle)];
    }
    return ["status" => curl_getinfo($handle, CURLINFO_RESPONSE_CODE), "body" => $body];
}

$get = $argv[1] === "curl" ? "with_curl" : "with_streams";
foreach (array_slice($argv, 2) as $url) {
    echo json_encode(["url" => $url] + $get($url), JSON_UNESCAPED_SLASHES), "\n";
}
