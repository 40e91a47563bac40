# Asks for each URL with open-uri, and prints what came, a line of JSON each: fetch.rb URL...
require "json"
require "open-uri"

ARGV.each do |url|
  said = begin
    reply = URI.open(url, read_timeout: 20)
    { status: reply.status[0].to_i, body: reply.read }
  rescue OpenURI::HTTPError => error
    { status: error.io.status[0].to_i, body: error.io.read }
  rescue StandardError => error
    { error: error.inspect }
  end
  puts JSON.generate({ url: url }.merge(said))
end
