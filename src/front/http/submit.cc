#include "front/http/submit.h"

#include "front/http/answers.h"
#include "front/http/json.h"
#include "front/http/url.h"

namespace holdfast::front {

void Submit::serve(http::Exchange& exchange) {
  exchange.head(501).add("Content-Type", "application/json").add("X-Amz-Request-Id", RequestId(parts_.clock));
  exchange.finish(json_error("/submit is not built yet: assign, then upload", wants_pretty(exchange.request().query)));
}

}  // namespace holdfast::front
